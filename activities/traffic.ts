/**
 * Everything that changes who answers. Each activity may run twice: a route change is written under an idempotency
 * key, and waiting for gateways changes nothing.
 */
import { SlipwayError } from '../domain/errors.ts';
import type { LiveGateway, VersionState } from '../domain/rollout/arm-window.ts';
import type { Digest } from '../domain/routing/route.ts';
import type { ChangeRequest, RouteStore, VersionStore } from './ports.ts';

export interface BegunRollout {
  readonly epoch: number;
  /** Absent for an endpoint that has no champion yet. */
  readonly generation: number | null;
  readonly champion: Digest | null;
}

export interface AwaitGatewaysInput {
  readonly endpoint: string;
  readonly generation: number;
  /** This version must be ready on every live gateway, not only known. */
  readonly version?: Digest;
  readonly timeoutMs: number;
}

export interface RollbackChoice {
  readonly from: Digest;
  readonly to: Digest;
  readonly standby: boolean;
}

/** The signals of a running activity: cancellation, and the heartbeat that makes it known. */
export interface ActivityPulse {
  readonly signal: AbortSignal;
  readonly beat: (details?: unknown) => void;
}

export interface TrafficDependencies {
  readonly routes: RouteStore;
  readonly versions: VersionStore;
  /** Of the activity that is running now. */
  readonly pulse: () => ActivityPulse;
}

export function createTrafficActivities({ routes, versions, pulse }: TrafficDependencies) {
  return {
    /** Takes the endpoint: whoever held it before is fenced off by the new epoch. */
    async beginRollout(endpoint: string): Promise<BegunRollout> {
      const route = await routes.read(endpoint);
      const epoch = await routes.nextEpoch(endpoint);
      return { epoch, generation: route?.generation ?? null, champion: route?.champion ?? null };
    },

    async changeRoute(input: ChangeRequest): Promise<{ readonly generation: number }> {
      const { route, current } = await routes.change(input);
      if (!current) {
        throw new SlipwayError(
          'EPOCH_FENCED',
          `the route of ${input.endpoint} has moved past generation ${route.generation}; this change no longer holds`,
        );
      }
      return { generation: route.generation };
    },

    /**
     * Takes the candidate out, whatever the present generation. When a newer rollout or rollback owns the endpoint
     * there is nothing to restore, and that is success.
     */
    async restoreChampion(input: Omit<ChangeRequest, 'change' | 'expectedGeneration'>): Promise<{
      readonly generation: number | null;
    }> {
      try {
        const { route } = await routes.change({ ...input, change: { kind: 'restore' } });
        return { generation: route.generation };
      } catch (error) {
        if (error instanceof SlipwayError && error.code === 'EPOCH_FENCED') return { generation: null };
        throw error;
      }
    },

    /**
     * Waits until every live gateway applied the generation (or a later one) and, if asked, has the version ready.
     * @throws CANDIDATE_REFUSED when a gateway refused the version; GATEWAY_NOT_ACKNOWLEDGED after `timeoutMs`
     */
    async awaitGateways({
      endpoint,
      generation,
      version,
      timeoutMs,
    }: AwaitGatewaysInput): Promise<{ readonly gateways: number }> {
      const { signal, beat } = pulse();
      const start = performance.now();
      for (;;) {
        const gateways = await routes.liveGateways(endpoint);
        const waiting = gateways.filter((gateway) => !hasApplied(gateway, generation, version));
        if (gateways.length > 0 && waiting.length === 0) return { gateways: gateways.length };
        const left = timeoutMs - (performance.now() - start);
        if (left <= 0) throw notAcknowledged(endpoint, generation, gateways, waiting);
        beat();
        await routes.waitForAcknowledgement(endpoint, Math.min(left, 1000), signal);
        signal.throwIfAborted();
      }
    },

    /** The version a rollback goes to: the one asked for, or the latest former champion that may still serve. */
    async chooseRollback(input: {
      readonly endpoint: string;
      readonly to?: Digest;
    }): Promise<RollbackChoice> {
      const route = await routes.read(input.endpoint);
      if (route === null) throw new SlipwayError('NO_CHAMPION', `endpoint ${input.endpoint} has no champion`);
      const former = await routes.formerChampions(input.endpoint);
      const wanted =
        input.to === undefined ? former : former.filter((version) => version.startsWith(input.to!));
      for (const version of wanted) {
        if (version === route.champion || (await versions.isRevoked(version))) continue;
        return { from: route.champion, to: version, standby: await isLoaded(input.endpoint, version) };
      }
      throw new SlipwayError(
        'NO_FORMER_CHAMPION',
        input.to === undefined
          ? `endpoint ${input.endpoint} has no former champion that is not revoked`
          : `${input.to} is not a former champion of ${input.endpoint} that may serve again`,
      );
    },
  };

  /** Ready on every live gateway, so that a route change is all it takes. */
  async function isLoaded(endpoint: string, version: Digest): Promise<boolean> {
    const gateways = await routes.liveGateways(endpoint);
    return (
      gateways.length > 0 &&
      gateways.every(({ acknowledgement }) => acknowledgement?.versions[version]?.state === 'ready')
    );
  }
}

export type TrafficActivities = ReturnType<typeof createTrafficActivities>;

function hasApplied(gateway: LiveGateway, generation: number, version: Digest | undefined): boolean {
  const { acknowledgement } = gateway;
  if (acknowledgement === null || acknowledgement.generation < generation) return false;
  if (version === undefined) return true;
  const state: VersionState | undefined = acknowledgement.versions[version];
  if (state?.state === 'refused') {
    throw new SlipwayError(
      'CANDIDATE_REFUSED',
      `gateway ${gateway.gatewayId} refused ${version}: ${state.message}`,
      {
        internal: state.code,
      },
    );
  }
  return state?.state === 'ready';
}

function notAcknowledged(
  endpoint: string,
  generation: number,
  gateways: readonly LiveGateway[],
  waiting: readonly LiveGateway[],
): SlipwayError {
  const who =
    gateways.length === 0
      ? 'no gateway is alive; start one'
      : `still missing: ${waiting.map(({ gatewayId, acknowledgement }) => `${gatewayId} (at ${acknowledgement?.generation ?? 'none'})`).join(', ')}`;
  return new SlipwayError('GATEWAY_NOT_ACKNOWLEDGED', `generation ${generation} of ${endpoint}: ${who}`);
}

/**
 * Everything that an experiment does outside of its workflow. `observeExperiment` is one long activity: each look counts
 * new rewards, moves the policy on and renews the lease. All of its state is in the registry, so an attempt that is
 * started again after a crash goes on from the newest snapshot.
 */
import { SlipwayError } from '../domain/errors.ts';
import { readExperiment } from '../domain/experiments/index.ts';
import type {
  ExperimentOutcome,
  ExperimentPlan,
  ExperimentReading,
  ExperimentSnapshot,
} from '../domain/experiments/index.ts';
import type { RouteExperimentArm } from '../domain/routing/route.ts';
import type { Clock } from '../platform/clock.ts';
import type { ExperimentName, ExperimentStore, OpenExperiment } from './experiment-ports.ts';
import type { OwnerLiveness } from './observe.ts';
import type { RouteStore } from './ports.ts';
import type { RolloutOwnership } from './rollout-ownership.ts';
import type { ActivityPulse } from './traffic.ts';

export interface PreparedExperiment {
  readonly plan: ExperimentPlan;
  /** With the versions that the arms stand for now. */
  readonly arms: readonly RouteExperimentArm[];
  /** Of the route that this was decided on. */
  readonly generation: number;
}

export interface ObserveExperimentInput extends ExperimentName {
  readonly plan: ExperimentPlan;
  readonly epoch: number;
  readonly generation: number;
  readonly startedAtMs: number;
  /** The workflow's own run; when it is no longer running, the lease is not renewed. */
  readonly owner: { readonly workflowId: string; readonly runId: string };
}

export interface ExperimentEnd {
  readonly outcome: ExperimentOutcome;
  readonly reason: string;
  readonly winner: string | null;
}

export interface ExperimentDependencies {
  readonly experiments: ExperimentStore;
  readonly routes: RouteStore;
  readonly rollouts: Pick<RolloutOwnership, 'owner'>;
  /** Whether the workflow of an experiment runs. @throws UNAVAILABLE when that cannot be learnt now */
  readonly isExperimentRunning: (name: ExperimentName) => Promise<boolean>;
  readonly owners: OwnerLiveness;
  readonly clock: Clock;
  readonly pulse: () => ActivityPulse;
  readonly lookMs?: number;
}

const LOOK_MS = 5000;
const BEAT_MS = 1000;

export function createExperimentActivities(dependencies: ExperimentDependencies) {
  const { experiments, routes, rollouts, owners, clock, pulse, lookMs = LOOK_MS } = dependencies;
  return {
    /**
     * What the manifest declares, with versions for its arms, if it may begin now.
     * @throws EXPERIMENT_NOT_FOUND, EXPERIMENT_RUNNING, ROLLOUT_IN_PROGRESS, NO_CHAMPION, VERSION_REVOKED …
     */
    async prepareExperiment({ endpoint, name }: ExperimentName): Promise<PreparedExperiment> {
      const plan = await experiments.planOf({ endpoint, name });
      if (await experiments.hasBegun({ endpoint, name })) {
        throw new SlipwayError(
          'WRONG_PHASE',
          `experiment ${name} of ${endpoint} has run already; declare it under another name`,
        );
      }
      await clearLost(endpoint);
      const route = await routes.read(endpoint);
      if (route === null) throw new SlipwayError('NO_CHAMPION', `endpoint ${endpoint} has no champion yet`);
      if (route.experiment !== null) {
        const running = route.experiment.name;
        throw new SlipwayError('EXPERIMENT_RUNNING', `experiment ${running} runs on ${endpoint}; stop it first`);
      }
      if (route.candidate !== null || (await rollouts.owner(endpoint)) !== null) {
        throw new SlipwayError(
          'ROLLOUT_IN_PROGRESS',
          `a rollout holds ${endpoint}; start the experiment when it has ended`,
        );
      }
      const arms: RouteExperimentArm[] = [];
      for (const { name: arm, version: reference } of plan.arms) {
        const version =
          reference === 'champion' ? route.champion : await experiments.resolve(endpoint, reference);
        const same = arms.find((other) => other.version === version);
        if (same !== undefined) {
          throw new SlipwayError('INVALID_REQUEST', `arms ${same.name} and ${arm} are the same version, ${version}`);
        }
        arms.push({ name: arm, version });
      }
      return { plan, arms, generation: route.generation };
    },

    /** From here on the arms have their shares. */
    async openExperiment(input: OpenExperiment): Promise<{ readonly startedAtMs: number }> {
      const { atMs } = await experiments.open(input);
      return { startedAtMs: atMs };
    },

    async observeExperiment(input: ObserveExperimentInput): Promise<ExperimentEnd> {
      const { signal, beat } = pulse();
      let nextRenewal = 0;
      for (;;) {
        const lost = await lostRoute(input);
        if (lost !== null) return { outcome: 'interrupted', reason: lost, winner: null };
        const reading = await look(input, beat);
        if (reading.outcome !== null) {
          return { outcome: reading.outcome, reason: reading.reason, winner: reading.winner };
        }
        const tripped = await tripReason(input);
        if (tripped !== null) return { outcome: 'invalid', reason: tripped, winner: null };
        // Only after a look: an experiment that nobody counts must not be prolonged.
        if (clock.monotonic() >= nextRenewal && (await owners.isRunning(input.owner.workflowId, input.owner.runId))) {
          if (!(await routes.renewLease(input))) {
            const reason = 'its lease lapsed or its route was superseded; the champion answers everything';
            return { outcome: 'interrupted', reason, winner: null };
          }
          nextRenewal = clock.monotonic() + input.plan.leaseMs / 4;
        }
        await pause(signal, beat);
      }
    },

    /**
     * All traffic to the champion, if the route still has this experiment: whatever has replaced it is not to be
     * undone. A lease that lapsed leaves it in the route.
     */
    async restoreFromExperiment({
      endpoint,
      name,
      epoch,
      actor,
      reason,
    }: ExperimentName & {
      readonly epoch: number;
      readonly actor: string;
      readonly reason: string;
    }): Promise<{ readonly generation: number | null }> {
      const present = await routes.read(endpoint);
      if (present?.experiment?.name !== name || present.epoch !== epoch) return { generation: null };
      const key = `experiment/${endpoint}/${name}/end/${epoch}`;
      const expectedGeneration = present.generation;
      const change = { kind: 'restore' } as const;
      const request = { endpoint, epoch, expectedGeneration, change, key, actor, reason };
      try {
        const { route } = await routes.change(request);
        return { generation: route.generation };
      } catch (error) {
        if (error instanceof SlipwayError && error.code === 'EPOCH_FENCED') return { generation: null };
        throw error;
      }
    },

    /** A last look, and the end in the registry. Never opened: nothing to end. */
    async endExperiment(
      input: ExperimentName & ExperimentEnd & { readonly runId: string; readonly actor: string },
    ): Promise<void> {
      try {
        await experiments.advance(input);
      } catch (error) {
        // It was never opened, or this is the second attempt.
        const over = error instanceof SlipwayError && ['EXPERIMENT_NOT_FOUND', 'WRONG_PHASE'].includes(error.code);
        if (!over) throw error;
      }
      await experiments.end(input);
    },
  };

  async function look(
    { endpoint, name, plan, startedAtMs }: ObserveExperimentInput,
    beat: (details?: unknown) => void,
  ): Promise<ExperimentReading> {
    const snapshot: ExperimentSnapshot = await experiments.advance({ endpoint, name });
    const reading = readExperiment(plan, snapshot, Math.max(0, clock.now() - startedAtMs));
    beat({ version: snapshot.version, shares: snapshot.sharesBp });
    return reading;
  }

  async function lostRoute({ endpoint, name, epoch }: ObserveExperimentInput): Promise<string | null> {
    const route = await routes.read(endpoint);
    if (route?.experiment?.name === name && route.epoch === epoch) return null;
    return 'a rollout or a rollback has taken the endpoint';
  }

  async function tripReason({ endpoint, generation }: ObserveExperimentInput): Promise<string | null> {
    const trip = await experiments.trip({ endpoint, generation });
    return trip === null ? null : `gateway ${trip.gatewayId} took ${trip.version} out: ${trip.reason}`;
  }

  /** Beats meanwhile, so that a cancellation is heard soon. */
  async function pause(signal: AbortSignal, beat: () => void): Promise<void> {
    for (let left = lookMs; left > 0; left -= BEAT_MS) {
      await new Promise((resolve) => setTimeout(resolve, Math.min(left, BEAT_MS)));
      signal.throwIfAborted();
      beat();
    }
  }

  /** An experiment whose workflow was terminated has lost its lease in gateways; its row and route must not be in the way. */
  async function clearLost(endpoint: string): Promise<void> {
    const route = await routes.read(endpoint);
    if (route === null || route.experiment === null) return;
    const { name } = route.experiment;
    if (await dependencies.isExperimentRunning({ endpoint, name })) return;
    const reason = 'its workflow no longer runs';
    const epoch = await routes.nextEpoch(endpoint);
    const key = `experiment/${endpoint}/${name}/clear/${epoch}`;
    await routes.change({ endpoint, epoch, change: { kind: 'restore' }, key, actor: 'experiment', reason });
    await experiments.end({
      ...{ endpoint, name, runId: null, reason },
      ...{ outcome: 'interrupted', winner: null, actor: 'experiment' },
    });
  }
}

export type ExperimentActivities = ReturnType<typeof createExperimentActivities>;

/** The control plane as a gateway sees it: plain objects behind its three ports, which can be taken away. */
import { SlipwayError } from '../../domain/errors.ts';
import { SERVING_DEFAULTS } from '../../domain/manifest/serving-spec.ts';
import type { VersionDescriptor } from '../../domain/registry/index.ts';
import type {
  Acknowledgement,
  ArmWindow,
  GatewayFlush,
  GuardTrip,
  PredictionRow,
} from '../../domain/rollout/arm-window.ts';
import type { Candidate, Digest, Route } from '../../domain/routing/route.ts';
import type {
  EndpointSpec,
  EndpointState,
  EvidenceSink,
  GatewayRegistry,
  RouteFeed,
} from '../../serving/ports.ts';

export const ENDPOINT = 'toy';

export const SPEC: EndpointSpec = {
  endpoint: ENDPOINT,
  features: [{ name: 'alpha', min: -100, max: 100 }, { name: 'beta' }, { name: 'gamma', max: 50 }],
  latencySloMs: 1000,
  scoreTolerance: 0.01,
  serving: SERVING_DEFAULTS,
  featureViews: [],
};

export interface RouteWish {
  readonly champion: VersionDescriptor;
  readonly candidate?: { readonly version: VersionDescriptor } & Partial<Omit<Candidate, 'version'>>;
  readonly standby?: { readonly version: VersionDescriptor; readonly untilMs: number };
  readonly leaseRemainingMs?: number;
  readonly spec?: Partial<EndpointSpec>;
  readonly experiment?: {
    readonly arms: readonly {
      readonly name: string;
      readonly version: VersionDescriptor;
      readonly bp: number;
    }[];
    readonly sticky?: boolean;
    /** Of the allocation. */
    readonly version?: number;
  };
}

export class ControlPlane {
  state: EndpointState | null = null;
  revocations: { digests: Digest[]; keyIds: string[] } = { digests: [], keyIds: [] };
  /** Nothing answers, as when PostgreSQL is away. */
  down = false;
  /** Renew the lease with each read, as a living rollout does. */
  renews = true;
  readonly acks: Acknowledgement[] = [];
  readonly flushes: GatewayFlush[] = [];
  readonly trips: GuardTrip[] = [];
  readonly left: string[] = [];
  /** Called before a flush is taken; throw to refuse it. */
  onFlush: (flush: GatewayFlush) => void = () => {};
  #generation = 0;
  readonly #listeners = new Set<() => void>();

  /** Writes the next generation and tells the gateways. */
  route(wish: RouteWish): number {
    this.#generation += 1;
    const { champion, candidate, standby, experiment } = wish;
    const route: Route = {
      endpoint: ENDPOINT,
      generation: this.#generation,
      epoch: 1,
      champion: champion.digest,
      candidate:
        candidate === undefined
          ? null
          : {
              version: candidate.version.digest,
              weightBp: candidate.weightBp ?? 0,
              mirrorBp: candidate.mirrorBp ?? 0,
              salt: candidate.salt ?? 'release-1',
              leaseMs: candidate.leaseMs ?? 60_000,
            },
      standby: standby === undefined ? null : { version: standby.version.digest, untilMs: standby.untilMs },
      experiment:
        experiment === undefined
          ? null
          : {
              name: 'prices',
              arms: experiment.arms.map(({ name, version }) => ({ name, version: version.digest })),
              sticky: experiment.sticky ?? true,
              salt: 'experiment-1',
              leaseMs: 60_000,
            },
    };
    const arms = experiment?.arms ?? [];
    const wanted = [champion, candidate?.version, standby?.version, ...arms.map(({ version }) => version)];
    const versions = wanted.filter((version) => version !== undefined);
    const leaseRemainingMs =
      route.candidate === null && route.experiment === null
        ? null
        : (wish.leaseRemainingMs ?? route.candidate?.leaseMs ?? 60_000);
    const allocation =
      experiment === undefined
        ? null
        : {
            experiment: 'prices',
            version: experiment.version ?? 1,
            sharesBp: arms.map(({ bp }) => bp),
            contextual: null,
          };
    this.state = { route, spec: { ...SPEC, ...wish.spec }, versions, leaseRemainingMs, allocation };
    this.notify();
    return this.#generation;
  }

  notify(): void {
    for (const listener of this.#listeners) listener();
  }

  readonly feed: RouteFeed = {
    read: async () => {
      await this.#reach();
      const endpoints = this.state === null ? [] : [this.state];
      if (!this.renews && this.state !== null) this.state = { ...this.state, leaseRemainingMs: 0 };
      return { endpoints, revocations: { ...this.revocations } };
    },
    subscribe: async (onChange) => {
      await this.#reach();
      this.#listeners.add(onChange);
      return { close: () => Promise.resolve(void this.#listeners.delete(onChange)) };
    },
  };

  readonly sink: EvidenceSink = {
    flush: async (flush) => {
      await this.#reach();
      this.onFlush(flush);
      this.flushes.push(flush);
    },
    trip: async (trip) => {
      await this.#reach();
      this.trips.push(trip);
    },
  };

  readonly registry: GatewayRegistry = {
    acknowledge: async (_gateway, acks) => {
      await this.#reach();
      this.acks.push(...acks);
    },
    leave: async (gatewayId) => {
      await this.#reach();
      this.left.push(gatewayId);
    },
  };

  get lastAck(): Acknowledgement | undefined {
    return this.acks.at(-1);
  }

  get windows(): ArmWindow[] {
    return this.flushes.flatMap(({ windows }) => windows);
  }

  get predictions(): PredictionRow[] {
    return this.flushes.flatMap(({ predictions }) => predictions);
  }

  /** Sum of one count over all windows of an arm. */
  sum(
    arm: ArmWindow['arm'],
    field: 'requests' | 'errors' | 'invalid' | 'slow' | 'pairs' | 'diverged',
  ): number {
    return this.windows
      .filter((window) => window.arm === arm)
      .reduce((total, window) => total + window[field], 0);
  }

  #reach(): Promise<void> {
    return this.down
      ? Promise.reject(new SlipwayError('UNAVAILABLE', 'the database is away'))
      : Promise.resolve();
  }
}

/** What the gateway needs from outside; the adapters over PostgreSQL live in `db/`, the in-memory ones in tests. */
import type { ContextualTable } from '../domain/experiments/index.ts';
import type { FeatureSpec } from '../domain/manifest/model-manifest.ts';
import type { FeatureViewSpec, ServingSpec } from '../domain/manifest/serving-spec.ts';
import type { VersionDescriptor } from '../domain/registry/model-version.ts';
import type { Acknowledgement, GatewayFlush, GuardTrip } from '../domain/rollout/arm-window.ts';
import type { Route } from '../domain/routing/route.ts';

/** The contract of an endpoint with its callers, from the model's manifest. */
export interface EndpointSpec {
  readonly endpoint: string;
  /** In the order of the model's columns; those with `online` are filled in by the gateway. */
  readonly features: readonly FeatureSpec[];
  readonly latencySloMs: number;
  /** Scores of a shadow pair that differ by more count as diverged. */
  readonly scoreTolerance: number;
  readonly serving: ServingSpec;
  /** Where the features with `online` come from. */
  readonly featureViews: readonly FeatureViewSpec[];
}

/** Everything that a gateway needs to serve one endpoint; also what it keeps on disk for a start without PostgreSQL. */
export interface EndpointState {
  readonly route: Route;
  readonly spec: EndpointSpec;
  /** Descriptors of every version on the route. */
  readonly versions: readonly VersionDescriptor[];
  /** Milliseconds until the lease of the candidate, or of the experiment, ends, by the database's clock; else null. */
  readonly leaseRemainingMs: number | null;
  /** How the route's experiment shares its traffic at present; null without one. */
  readonly allocation: Allocation | null;
}

/** A snapshot of an experiment's policy. Gateways follow the newest one; each has a version that only rises. */
export interface Allocation {
  readonly experiment: string;
  readonly version: number;
  /** Basis points for each arm in the route's order, together 10,000. */
  readonly sharesBp: readonly number[];
  /** What a contextual policy decides by, instead of the shares. */
  readonly contextual: ContextualTable | null;
}

export interface Revocations {
  readonly digests: readonly string[];
  readonly keyIds: readonly string[];
}

export interface RouteFeed {
  /** The present state of every endpoint, and what is revoked. */
  read(): Promise<{ readonly endpoints: readonly EndpointState[]; readonly revocations: Revocations }>;
  /** Calls back when something may have changed (LISTEN); reconnects by itself; a poll backs it up. */
  subscribe(onChange: () => void): Promise<{ close(): Promise<void> }>;
}

export interface EvidenceSink {
  /** Stores a flush exactly once; the same (gatewayId, bootId, seq) again is a no-op. */
  flush(flush: GatewayFlush): Promise<void>;
  trip(trip: GuardTrip): Promise<void>;
}

export interface GatewayRegistry {
  /** Says that this gateway lives and what it has applied; also its heartbeat (each second). */
  acknowledge(
    gateway: { readonly gatewayId: string; readonly url: string },
    acks: readonly Acknowledgement[],
  ): Promise<void>;
  /** Takes the gateway off the list of live ones at a clean stop. */
  leave(gatewayId: string): Promise<void>;
}

/** What the gateway counts. The OpenTelemetry implementation lives in `platform/`; tests pass `NO_METRICS` or a fake. */
import { NO_ADMISSION_METRICS } from './admission/admission-metrics.ts';
import type { AdmissionMetrics } from './admission/admission-metrics.ts';
import { NO_BATCH_OBSERVER } from './batching/batch-observer.ts';
import type { BatchObserver } from './batching/batch-observer.ts';
import { NO_FEATURE_METRICS } from './features/feature-metrics.ts';
import type { FeatureCount } from './features/feature-joiner.ts';
import type { FeatureCounters, FeatureMetrics } from './features/feature-metrics.ts';
import type { SegmentMetrics } from './prediction-log/segment-log.ts';
import type { Arm } from '../domain/rollout/arm-window.ts';
import type { Digest } from '../domain/routing/route.ts';

/** `pinned`: the caller named the version in the path, so the answer is no evidence for a rollout. */
export type AnswerArm = Exclude<Arm, 'shadow'> | 'pinned';
/** `expired`: the deadline passed before the model had it. */
export type Outcome = 'ok' | 'error' | 'invalid' | 'expired';
/** Where a model runs: on the event loop, in threads of its own, or in another server. */
export type Placement = 'inline' | 'worker' | 'remote';

export interface GatewayMetrics extends AdmissionMetrics, FeatureMetrics, SegmentMetrics {
  prediction(
    endpoint: string,
    version: Digest,
    arm: AnswerArm | 'shadow',
    outcome: Outcome,
    ms: number,
  ): void;
  /** A request that was answered with an error before it reached a model. */
  refusal(code: string): void;
  shadowDropped(endpoint: string, reason: 'full' | 'pressure'): void;
  /** Largest difference of scores of one pair, and whether any row got another class. */
  shadowPair(endpoint: string, version: Digest, difference: number, flipped: boolean): void;
  /** Largest difference of the champion from itself on the same rows in a batch of another size. */
  shadowNoise(endpoint: string, difference: number): void;
  /** Rows for the database. */
  predictionsDropped(count: number): void;
  /** Numbers that the gateway keeps anyway; read when somebody asks for metrics. */
  watch(state: GatewayState): void;
  /** Of one loaded version. */
  batches(endpoint: string, version: Digest): BatchObserver;
  modelLoaded(endpoint: string, version: Digest, placement: Placement, ms: number): void;
  modelRefused(endpoint: string, version: Digest, code: string): void;
  routeApplied(endpoint: string, generation: number): void;
  tripped(endpoint: string, version: Digest): void;
  /** Whether the control plane's database answered last time. */
  controlPlane(part: 'feed' | 'sink' | 'registry', reachable: boolean): void;
  /** The body of `GET /metrics`. */
  handler(): Promise<{ readonly contentType: string; readonly body: string }>;
}

export interface GatewayState {
  readonly lookups: FeatureCounters | null;
  endpoints(): Iterable<EndpointReading>;
}

export interface EndpointReading {
  readonly endpoint: string;
  /** What a run costs, as learned. */
  readonly costs: readonly {
    readonly version: Digest;
    readonly msPerRow: number;
    readonly msPerRun: number;
    readonly residualMs: number;
  }[];
  /** Of the running experiment: what each arm has of the live requests, 0–1. */
  readonly shares: readonly { readonly experiment: string; readonly arm: string; readonly share: number }[];
  readonly features: readonly FeatureCount[];
}

export const NO_METRICS: GatewayMetrics = {
  ...NO_ADMISSION_METRICS,
  ...NO_FEATURE_METRICS,
  predictionsLogged() {},
  predictionLogCommit() {},
  predictionLogFailed() {},
  prediction() {},
  refusal() {},
  shadowDropped() {},
  shadowPair() {},
  shadowNoise() {},
  predictionsDropped() {},
  watch() {},
  batches: () => NO_BATCH_OBSERVER,
  modelLoaded() {},
  modelRefused() {},
  routeApplied() {},
  tripped() {},
  controlPlane() {},
  handler: () => Promise.resolve({ contentType: 'text/plain; charset=utf-8', body: '' }),
};

/** What the gateway counts. The OpenTelemetry implementation lives in `platform/`; tests pass `NO_METRICS` or a fake. */
import type { Arm } from '../domain/rollout/arm-window.ts';
import type { Digest } from '../domain/routing/route.ts';

/** `pinned`: the caller named the version in the path, so the answer is no evidence for a rollout. */
export type AnswerArm = Exclude<Arm, 'shadow'> | 'pinned';
export type Outcome = 'ok' | 'error' | 'invalid';
/** Where a model runs: on the event loop, or in a thread of its own. */
export type Placement = 'inline' | 'worker';

export interface GatewayMetrics {
  prediction(
    endpoint: string,
    version: Digest,
    arm: AnswerArm | 'shadow',
    outcome: Outcome,
    ms: number,
  ): void;
  /** A request that was answered with an error before it reached a model. */
  refusal(code: string): void;
  shadowDropped(endpoint: string): void;
  predictionsDropped(count: number): void;
  modelLoaded(endpoint: string, version: Digest, placement: Placement, ms: number): void;
  modelRefused(endpoint: string, version: Digest, code: string): void;
  routeApplied(endpoint: string, generation: number): void;
  tripped(endpoint: string, version: Digest): void;
  /** Whether the control plane's database answered last time. */
  controlPlane(part: 'feed' | 'sink' | 'registry', reachable: boolean): void;
  /** The body of `GET /metrics`. */
  handler(): Promise<{ readonly contentType: string; readonly body: string }>;
}

export const NO_METRICS: GatewayMetrics = {
  prediction() {},
  refusal() {},
  shadowDropped() {},
  predictionsDropped() {},
  modelLoaded() {},
  modelRefused() {},
  routeApplied() {},
  tripped() {},
  controlPlane() {},
  handler: () => Promise.resolve({ contentType: 'text/plain; charset=utf-8', body: '' }),
};

/** Traces from outside go on through the gateway; the OpenTelemetry implementation is in `telemetry/`. */
import type { AnswerArm } from './metrics.ts';

export interface GatewayTracer {
  /** Begins the span of one inference, as a child of the W3C `traceparent` when there is one. */
  begin(traceparent: string | undefined, tracestate: string | undefined): InferenceSpan;
  /**
   * Begins the span of one run of a model. A batch has many causes and a span one parent: it is in the trace of the
   * first recorded request, with a link to each of them. Null when none is recorded.
   */
  batch(
    requests: readonly InferenceSpan[],
    endpoint: string,
    version: string,
    rows: number,
  ): BatchSpan | null;
}

/** What a request spends its time on, in this order. */
export type Stage = 'features' | 'queue' | 'inference';

export interface InferenceSpan {
  /** False for most requests: whoever has something to say only for a trace asks first. */
  readonly recording: boolean;
  routed(endpoint: string, version: string, arm: AnswerArm, generation: number): void;
  /** A stage that has ended; both are monotonic milliseconds of the gateway's clock. */
  stage(name: Stage, startedMs: number, endedMs: number): void;
  /** Always called once; `code` is the error code of a request that failed. */
  end(code: string | undefined): void;
}

export interface BatchSpan {
  /** For a server further down. */
  readonly traceparent: string;
  end(failed: boolean): void;
}

export const NO_SPAN: InferenceSpan = { recording: false, routed() {}, stage() {}, end() {} };

export const NO_TRACER: GatewayTracer = { begin: () => NO_SPAN, batch: () => null };

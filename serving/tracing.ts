/** Traces from outside go on through the gateway; the OpenTelemetry implementation lives in `platform/`. */
import type { AnswerArm } from './metrics.ts';

export interface GatewayTracer {
  /** Begins the span of one inference, as a child of the W3C `traceparent` when there is one. */
  begin(traceparent: string | undefined, tracestate: string | undefined): InferenceSpan;
}

export interface InferenceSpan {
  routed(endpoint: string, version: string, arm: AnswerArm, generation: number): void;
  /** Always called once; `code` is the error code of a request that failed. */
  end(code: string | undefined): void;
}

const NO_SPAN: InferenceSpan = { routed() {}, end() {} };

export const NO_TRACER: GatewayTracer = { begin: () => NO_SPAN };

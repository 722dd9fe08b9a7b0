/** Spans of inferences, as children of the caller's W3C trace context. */
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, propagation } from '@opentelemetry/api';
import type { Span, Tracer } from '@opentelemetry/api';
import type { GatewayTracer, InferenceSpan } from '../tracing.ts';

export function createGatewayTracer(tracer: Tracer): GatewayTracer {
  return {
    begin(traceparent, tracestate) {
      const parent =
        traceparent === undefined
          ? ROOT_CONTEXT
          : propagation.extract(ROOT_CONTEXT, {
              traceparent,
              ...(tracestate !== undefined && { tracestate }),
            });
      return new InferenceOtelSpan(tracer.startSpan('infer', { kind: SpanKind.SERVER }, parent));
    },
  };
}

class InferenceOtelSpan implements InferenceSpan {
  private readonly span: Span;

  constructor(span: Span) {
    this.span = span;
  }

  routed(endpoint: string, version: string, arm: string, generation: number): void {
    if (!this.span.isRecording()) return;
    this.span.setAttributes({
      'slipway.endpoint': endpoint,
      'slipway.version': version,
      'slipway.arm': arm,
      'slipway.generation': generation,
    });
  }

  end(code: string | undefined): void {
    if (code !== undefined) this.span.setStatus({ code: SpanStatusCode.ERROR, message: code });
    this.span.end();
  }
}

/** Spans of inferences, as children of the caller's W3C trace context. */
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, propagation, trace } from '@opentelemetry/api';
import type { Context, Span, Tracer } from '@opentelemetry/api';
import type { BatchSpan, GatewayTracer, InferenceSpan, Stage } from '../tracing.ts';

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
      return new InferenceOtelSpan(tracer, tracer.startSpan('infer', { kind: SpanKind.SERVER }, parent));
    },
    batch(requests, endpoint, version, rows) {
      const links = requests.flatMap((request) =>
        request instanceof InferenceOtelSpan && request.recording
          ? { context: request.span.spanContext() }
          : [],
      );
      const [first] = links;
      if (first === undefined) return null;
      // In the trace of the first recorded request, so that it is sampled with it and a server further down is found.
      const parent = trace.setSpanContext(ROOT_CONTEXT, first.context);
      const attributes = {
        'slipway.endpoint': endpoint,
        'slipway.version': version,
        'slipway.batch.rows': rows,
        'slipway.batch.requests': requests.length,
      };
      return new BatchOtelSpan(
        tracer.startSpan('batch', { kind: SpanKind.CLIENT, links, attributes }, parent),
      );
    },
  };
}

class InferenceOtelSpan implements InferenceSpan {
  readonly #tracer: Tracer;
  readonly span: Span;
  readonly recording: boolean;
  #context: Context | null = null;

  constructor(tracer: Tracer, span: Span) {
    this.#tracer = tracer;
    this.span = span;
    this.recording = span.isRecording();
  }

  routed(endpoint: string, version: string, arm: string, generation: number): void {
    if (!this.recording) return;
    this.span.setAttributes({
      'slipway.endpoint': endpoint,
      'slipway.version': version,
      'slipway.arm': arm,
      'slipway.generation': generation,
    });
  }

  stage(name: Stage, startedMs: number, endedMs: number): void {
    if (!this.recording) return;
    this.#context ??= trace.setSpan(ROOT_CONTEXT, this.span);
    const startTime = performance.timeOrigin + startedMs;
    this.#tracer.startSpan(name, { startTime }, this.#context).end(performance.timeOrigin + endedMs);
  }

  end(code: string | undefined): void {
    if (code !== undefined) this.span.setStatus({ code: SpanStatusCode.ERROR, message: code });
    this.span.end();
  }
}

class BatchOtelSpan implements BatchSpan {
  readonly #span: Span;

  constructor(span: Span) {
    this.#span = span;
  }

  get traceparent(): string {
    const { traceId, spanId, traceFlags } = this.#span.spanContext();
    return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
  }

  end(failed: boolean): void {
    if (failed) this.#span.setStatus({ code: SpanStatusCode.ERROR });
    this.#span.end();
  }
}

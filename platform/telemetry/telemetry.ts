/**
 * Traces and metrics of one process (OpenTelemetry 2). Metrics are read by Prometheus from the process's own HTTP
 * server; spans go to an OTLP collector when one is configured. Without one, trace ids are still made and passed on, so
 * that logs of one request can be found together.
 */
import { metrics, trace } from '@opentelemetry/api';
import type { Meter, Tracer } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { resourceFromAttributes } from '@opentelemetry/resources';
import type { Resource } from '@opentelemetry/resources';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace-base';
import { HotHistograms } from './hot-histogram.ts';
import type { SpanProcessor } from '@opentelemetry/sdk-trace-base';
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

export interface TelemetryOptions {
  /** `service.name`: slipway-api, slipway-gateway, slipway-worker-control, … */
  readonly service: string;
  readonly otlpEndpoint: string | undefined;
  /** Share of new traces that are recorded (0–1); a caller's own decision is kept. */
  readonly sampleRatio: number;
}

export const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export interface Telemetry {
  readonly tracer: Tracer;
  readonly meter: Meter;
  /** For what happens with every request. */
  readonly histograms: HotHistograms;
  readonly resource: Resource;
  /** Absent when spans go nowhere. */
  readonly spanProcessor: SpanProcessor | undefined;
  /** What `GET /metrics` answers, in the Prometheus text format (`METRICS_CONTENT_TYPE`). */
  metricsText(): Promise<string>;
  shutdown(): Promise<void>;
}

export function startTelemetry({ service, otlpEndpoint, sampleRatio }: TelemetryOptions): Telemetry {
  const resource = resourceFromAttributes({ 'service.name': service });
  const spanProcessor =
    otlpEndpoint === undefined
      ? undefined
      : new BatchSpanProcessor(
          new OTLPTraceExporter({ url: `${otlpEndpoint.replace(/\/$/, '')}/v1/traces` }),
        );
  const tracerProvider = new NodeTracerProvider({
    resource,
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(sampleRatio) }),
    spanProcessors: spanProcessor === undefined ? [] : [spanProcessor],
  });
  // Registers the context manager (AsyncLocalStorage) and the W3C propagators as well.
  tracerProvider.register();

  const histograms = new HotHistograms();
  const prometheus = new PrometheusExporter({ preventServerStart: true, metricProducers: [histograms] });
  const serializer = new PrometheusSerializer();
  const meterProvider = new MeterProvider({ resource, readers: [prometheus] });
  metrics.setGlobalMeterProvider(meterProvider);

  return {
    tracer: trace.getTracer('slipway'),
    // Its own, not the global one: a process that starts telemetry twice, as tests do, would read the first one's.
    meter: meterProvider.getMeter('slipway'),
    histograms,
    resource,
    spanProcessor,
    async metricsText() {
      const { resourceMetrics, errors } = await prometheus.collect();
      if (errors.length > 0) throw new AggregateError(errors, 'metrics could not be collected');
      return serializer.serialize(resourceMetrics);
    },
    async shutdown() {
      await tracerProvider.shutdown();
      await meterProvider.shutdown();
    },
  };
}

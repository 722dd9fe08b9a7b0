/** The gateway's metrics in OpenTelemetry; `docs/reference/metrics.md` lists them. */
import type { Attributes, Meter } from '@opentelemetry/api';
import { METRICS_CONTENT_TYPE } from '../../platform/telemetry/index.ts';
import type { Telemetry } from '../../platform/telemetry/index.ts';
import type { GatewayMetrics } from '../metrics.ts';

/** In seconds, around SLOs of 5–250 ms. */
const LATENCY_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

export function createGatewayMetrics({
  meter,
  metricsText,
}: Pick<Telemetry, 'meter' | 'metricsText'>): GatewayMetrics {
  const counters = createCounters(meter);
  const latency = meter.createHistogram('slipway_gateway_latency_seconds', {
    description: 'Time in the gateway from the headers of the request to the answer.',
    unit: 's',
    advice: { explicitBucketBoundaries: LATENCY_BUCKETS },
  });
  const loadTime = meter.createHistogram('slipway_gateway_model_load_seconds', {
    description: 'Time to verify, load and warm up a model.',
    unit: 's',
  });
  const generation = meter.createGauge('slipway_gateway_route_generation', {
    description: 'Route generation in force.',
  });
  const reachable = meter.createGauge('slipway_gateway_control_plane_reachable', {
    description: '1 when the database answered last time.',
  });
  // The same few combinations come again and again; new attribute objects per request would be most of the cost.
  const attributes = new Map<string, Attributes>();
  const labelled = (endpoint: string, version: string, arm: string, outcome: string): Attributes => {
    const key = `${endpoint} ${version} ${arm} ${outcome}`;
    let found = attributes.get(key);
    if (found === undefined) attributes.set(key, (found = { endpoint, version, arm, outcome }));
    return found;
  };

  return {
    prediction(endpoint, version, arm, outcome, ms) {
      const labels = labelled(endpoint, version, arm, outcome);
      counters.predictions.add(1, labels);
      latency.record(ms / 1000, labels);
    },
    refusal: (code) => counters.refusals.add(1, { code }),
    shadowDropped: (endpoint) => counters.shadowDropped.add(1, { endpoint }),
    predictionsDropped: (count) => counters.predictionsDropped.add(count),
    modelLoaded: (endpoint, version, placement, ms) =>
      loadTime.record(ms / 1000, { endpoint, version, placement }),
    modelRefused: (endpoint, version, code) => counters.modelsRefused.add(1, { endpoint, version, code }),
    routeApplied: (endpoint, applied) => generation.record(applied, { endpoint }),
    tripped: (endpoint, version) => counters.trips.add(1, { endpoint, version }),
    controlPlane: (part, up) => reachable.record(up ? 1 : 0, { part }),
    handler: async () => ({ contentType: METRICS_CONTENT_TYPE, body: await metricsText() }),
  };
}

function createCounters(meter: Meter) {
  const counter = (name: string, description: string) =>
    meter.createCounter(`slipway_gateway_${name}`, { description });
  return {
    predictions: counter('predictions', 'Predictions by endpoint, version, arm and outcome.'),
    refusals: counter('refusals', 'Requests that were answered with an error before they reached a model.'),
    shadowDropped: counter('shadow_dropped', 'Mirrored requests that were dropped under pressure.'),
    predictionsDropped: counter('prediction_log_dropped', 'Prediction rows that could not be kept.'),
    modelsRefused: counter('models_refused', 'Model versions that were refused at load.'),
    trips: counter('trips', 'Times that the local breaker took an arm out of traffic.'),
  };
}

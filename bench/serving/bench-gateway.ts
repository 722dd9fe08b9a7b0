/**
 * The whole gateway as the benchmarks run it: real models and signatures, metrics, 1 % of traces, and the prediction
 * log on disk with every feature on its allow-list.
 */
import { join } from 'node:path';
import { startTelemetry } from '../../platform/telemetry/index.ts';
import { SERVING_DEFAULTS } from '../../domain/manifest/serving-spec.ts';
import { servedTensors } from '../../domain/registry/served-tensors.ts';
import type { VersionDescriptor } from '../../domain/registry/index.ts';
import { NO_LOG } from '../../serving/log.ts';
import { createGatewayMetrics } from '../../serving/telemetry/otel-metrics.ts';
import { createGatewayTracer } from '../../serving/telemetry/otel-tracer.ts';
import type { GatewayMetrics } from '../../serving/metrics.ts';
import type { EndpointSpec } from '../../serving/ports.ts';
import type { RouteWish } from '../../test/serving/control-plane.ts';
import { GatewayFixture } from '../../test/serving/gateway-fixture.ts';
import type { Client } from '../../test/serving/gateway-fixture.ts';

export interface BenchGateway {
  readonly fixture: GatewayFixture;
  readonly client: Client;
  readonly champion: VersionDescriptor;
  readonly port: number;
  readonly spec: Partial<EndpointSpec>;
  /** Another version of the same model. */
  candidate(): Promise<VersionDescriptor>;
  route(wish: Omit<RouteWish, 'spec' | 'champion'>): void;
}

const PREDICTION_LOG_BYTES = 256 * 1024 * 1024;

/** A benchmark process ends with the one that forked it. */
export async function startBenchGateway(
  model: Uint8Array,
  columns: number,
  changedMetrics: Partial<GatewayMetrics> = {},
): Promise<BenchGateway> {
  const fixture = await GatewayFixture.create();
  process.once('disconnect', () => void fixture.remove().then(() => process.exit(0)));
  const tensors = servedTensors(columns);
  const features = Array.from({ length: columns }, (_, i) => ({ name: `f${i}` }));
  const champion = await fixture.version(model, { tensors });
  const log = { features: features.map(({ name }) => name) };
  const spec = { features, serving: { ...SERVING_DEFAULTS, log } };
  const route = (wish: Omit<RouteWish, 'spec' | 'champion'>): void => {
    fixture.control.route({ champion, spec, ...wish });
  };
  route({});
  const telemetry = startTelemetry({ service: 'bench', otlpEndpoint: undefined, sampleRatio: 0.01 });
  const client = await fixture.start({
    metrics: { ...createGatewayMetrics(telemetry), ...changedMetrics },
    tracer: createGatewayTracer(telemetry.tracer),
    predictionLog: { folder: join(fixture.home, 'predictions'), maxBytes: PREDICTION_LOG_BYTES },
    settings: { pollMs: 1000, flushMs: 1000, acknowledgeMs: 1000 },
    log: {
      ...NO_LOG,
      error: (fields: object, message: string) => console.error(message, fields),
    },
  });
  return {
    fixture,
    client,
    champion,
    port: Number(new URL(client.url).port),
    spec,
    candidate: () => fixture.version(model, { tensors, note: 'candidate' }),
    route,
  };
}

/** The gateway process: real adapters, in the order in which they are needed, closed last-first. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createEvidenceSink, createGatewayRegistry, createRouteFeed, openDatabase } from '../db/index.ts';
import { systemClock } from '../platform/clock.ts';
import { gatewayConfig, telemetryConfig } from '../platform/config.ts';
import { homeLayout } from '../platform/home.ts';
import { startLifecycle } from '../platform/lifecycle.ts';
import { projectRoot } from '../platform/root.ts';
import { createLogger, startTelemetry } from '../platform/telemetry/index.ts';
import { createGateway } from './gateway.ts';
import { createGatewayMetrics } from './telemetry/otel-metrics.ts';
import { createGatewayTracer } from './telemetry/otel-tracer.ts';

const SERVICE = 'slipway-gateway';
/** Of traces that begin here; a caller's own decision is kept. */
const TRACE_SHARE = 0.01;

const config = gatewayConfig();
const { logLevel, otlpEndpoint } = telemetryConfig();
const log = createLogger(SERVICE, logLevel);
const lifecycle = startLifecycle({
  watchParent: config.watchParent,
  timeoutMsShutdown: config.timeoutMsShutdown,
  log: (message) => log.info(message),
});

const telemetry = startTelemetry({ service: SERVICE, otlpEndpoint, sampleRatio: TRACE_SHARE });
lifecycle.onShutdown('telemetry', () => telemetry.shutdown());

const db = openDatabase({
  databaseUrl: config.databaseUrl,
  applicationName: SERVICE,
  maxConnections: 4,
  // A heartbeat a second: what waits longer is of no use, and the next one must not wait behind it.
  timeoutMsStatement: 5000,
  timeoutMsConnect: 2000,
  onConnectionLost: (error) => log.warn({ reason: error.message }, 'a database connection was lost'),
});
lifecycle.onShutdown('database', () => db.close());

const home = homeLayout(config.home);
const { version } = JSON.parse(readFileSync(join(projectRoot(), 'package.json'), 'utf8')) as {
  version: string;
};
const gateway = createGateway({
  gatewayId: config.gatewayId,
  stateFolder: home.gateways,
  blobRoot: home.blobs,
  trustedKeysFolder: home.trustedFolder,
  feed: createRouteFeed(db, config.databaseUrl),
  sink: createEvidenceSink(db),
  registry: createGatewayRegistry(db),
  clock: systemClock,
  rng: Math.random,
  metrics: createGatewayMetrics(telemetry),
  tracer: createGatewayTracer(telemetry.tracer),
  log,
  version,
  settings: { pollMs: config.pollMs, flushMs: config.flushMs, maxBodyBytes: config.maxBodyBytes },
});
lifecycle.onShutdown('gateway', () => gateway.close());
const { url } = await gateway.listen({ host: config.host, port: config.port });
log.info({ url, gatewayId: config.gatewayId }, 'gateway listening');

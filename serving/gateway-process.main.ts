/** One gateway process, alone or under a primary: real adapters, in the order in which they are needed, closed last-first. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  createEvidenceSink,
  createGatewayRegistry,
  createOnlineStore,
  createRouteFeed,
  openDatabase,
} from '../db/index.ts';
import { SlipwayError } from '../domain/errors.ts';
import { systemClock } from '../platform/clock.ts';
import { featuresConfig, gatewayConfig, telemetryConfig } from '../platform/config.ts';
import { homeLayout } from '../platform/home.ts';
import { startLifecycle } from '../platform/lifecycle.ts';
import { projectRoot } from '../platform/root.ts';
import { createLogger, METRICS_CONTENT_TYPE, startTelemetry } from '../platform/telemetry/index.ts';
import { createLoopProbe } from './admission/index.ts';
import { openRedisStore } from './features/index.ts';
import type { OnlineStore } from './features/index.ts';
import { createGateway, DEFAULT_SETTINGS } from './gateway.ts';
import { joinPrimary, memberId, seedRoutes } from './processes/index.ts';
import { createGatewayMetrics } from './telemetry/otel-metrics.ts';
import { createGatewayTracer } from './telemetry/otel-tracer.ts';

const SERVICE = 'slipway-gateway';
/** Of traces that begin here; a caller's own decision is kept. */
const TRACE_SHARE = 0.01;
/** Twice the second in which most health checks and pollers come back. */
const QUIET_MS = 2000;

/** Null when this process has the port to itself. */
const link = joinPrimary();
const config = gatewayConfig();
const gatewayId = link === null ? config.gatewayId : memberId(config.gatewayId, link.slot);
const { logLevel, otlpEndpoint } = telemetryConfig();
const log = createLogger(SERVICE, logLevel);
const lifecycle = startLifecycle({
  // Under a primary it is the primary that watches its parent, and that is told by a terminal.
  watchParent: config.watchParent && link === null,
  timeoutMsShutdown: config.timeoutMsShutdown,
  log: (message) => log.info(message),
  ...(link === null ? {} : { ignoredSignals: ['SIGINT', 'SIGHUP'] }),
});
link?.followPrimary(lifecycle);

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
const { redisUrl, ...features } = featuresConfig();
const onlineStore = openOnlineStore();
if (link !== null) await seedRoutes(home.gateways, config.gatewayId, link.slot);
const metrics = createGatewayMetrics(telemetry);
const gateway = createGateway({
  gatewayId,
  stateFolder: home.gateways,
  blobRoot: home.blobs,
  trustedKeysFolder: home.trustedFolder,
  feed: createRouteFeed(db, config.databaseUrl),
  sink: createEvidenceSink(db),
  registry: createGatewayRegistry(db),
  clock: systemClock,
  loopProbe: createLoopProbe(),
  rng: Math.random,
  onlineStore,
  features,
  modelControl: modelControl(),
  ...(config.maxBytesPredictionLog > 0 && {
    predictionLog: { folder: home.predictions, maxBytes: config.maxBytesPredictionLog },
  }),
  metrics:
    link === null
      ? metrics
      : {
          ...metrics,
          handler: async () => ({
            contentType: METRICS_CONTENT_TYPE,
            body: await link.allMetrics(() => telemetry.metricsText()),
          }),
        },
  tracer: createGatewayTracer(telemetry.tracer),
  log,
  version,
  settings: {
    pollMs: config.pollMs,
    flushMs: config.flushMs,
    maxBodyBytes: config.maxBodyBytes,
    remote: { concurrency: config.remoteConcurrency },
    ...(link === null ? {} : drainSettings(config.timeoutMsShutdown)),
  },
});
lifecycle.onShutdown('gateway', () => gateway.close());
link?.begin({
  server: gateway.server,
  isReady: () => gateway.isReady(),
  ownMetrics: () => telemetry.metricsText(),
});
const whenReady = link?.listen === 'when-ready';
const { url } = await gateway.listen({ host: config.host, port: config.port, whenReady });
log.info({ url, gatewayId }, 'gateway listening');

/** A call reaches one of several processes, and the others would go on as they were. */
function modelControl(): boolean {
  if (config.modelControl === 'route') return false;
  if (link === null) return true;
  throw new SlipwayError(
    'CONFIG_INVALID',
    'SLIPWAY_GATEWAY_MODEL_CONTROL=explicit needs a gateway of one process; unset it, or SLIPWAY_GATEWAY_PROCESSES_MAX',
  );
}

/** With connections of its own: a read of features that hangs must not hold up routes and heartbeats. */
function openOnlineStore(): OnlineStore {
  if (redisUrl !== undefined) {
    const redis = openRedisStore({ url: redisUrl });
    lifecycle.onShutdown('online store', () => redis.close());
    return redis;
  }
  const store = openDatabase({
    databaseUrl: config.databaseUrl,
    applicationName: `${SERVICE}-features`,
    maxConnections: 4,
    timeoutMsStatement: 1000,
    timeoutMsConnect: 1000,
    onConnectionLost: (error) => log.warn({ reason: error.message }, 'a connection for features was lost'),
  });
  lifecycle.onShutdown('online store', () => store.close());
  return createOnlineStore(store);
}

/** Callers of a process that is replaced get time to go to its siblings; all within the time for the whole. */
function drainSettings(timeoutMsShutdown: number): { readonly quietMs: number; readonly drainMs: number } {
  const drainMs = Math.min(DEFAULT_SETTINGS.drainMs, timeoutMsShutdown / 2);
  return { drainMs, quietMs: Math.min(QUIET_MS, drainMs / 2) };
}

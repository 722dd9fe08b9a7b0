/** The API process: builds the adapters, listens, and closes what it opened last-first. */
import { access, constants } from 'node:fs/promises';
import { Client, Connection } from '@temporalio/client';

import {
  createAuditLog,
  createEvidenceSink,
  createExperimentRegistry,
  createModelStore,
  createNotifications,
  createReleaseRegistry,
  createRewardSink,
  createRouteFeed,
  createRouteRegistry,
  createTokenStore,
  createVersionRegistry,
  openDatabase,
} from '../db/index.ts';
import { createBlobStore } from '../platform/blobs.ts';
import { systemClock } from '../platform/clock.ts';
import { apiConfig, telemetryConfig } from '../platform/config.ts';
import { openEnvelope, signStatement } from '../platform/envelope.ts';
import { homeLayout } from '../platform/home.ts';
import { loadOrCreateSigningKey, loadTrustedKeys } from '../platform/keys.ts';
import { startLifecycle } from '../platform/lifecycle.ts';
import { createLogger, startTelemetry } from '../platform/telemetry/index.ts';
import { temporalTracing } from '../platform/telemetry/temporal.ts';
import { createApi } from './app.ts';
import { keepCheckpoints } from './audit-checkpoints.ts';
import { installedTrainers } from './installed-trainers.ts';
import type { ApiPorts } from './ports.ts';
import { keepStarting } from './release-starter.ts';
import { createTemporalExperiments } from './temporal-experiments.ts';
import { createTemporalReleases } from './temporal-releases.ts';
import { ensureTokens } from './token-file.ts';
import { createVersionVerifier } from './version-verifier.ts';

const SERVICE = 'slipway-api';

const config = apiConfig();
const { logLevel, otlpEndpoint } = telemetryConfig();
const telemetry = startTelemetry({ service: SERVICE, otlpEndpoint, sampleRatio: 1 });
const logger = createLogger(SERVICE, logLevel);
const lifecycle = startLifecycle({ ...config, log: (message) => logger.info(message) });
lifecycle.onShutdown('telemetry', () => telemetry.shutdown());
const home = homeLayout(config.home);

const { databaseUrl } = config;
const db = openDatabase({
  databaseUrl,
  applicationName: SERVICE,
  onConnectionLost: (error) => logger.warn({ error: String(error) }, 'a database connection was lost'),
});
lifecycle.onShutdown('database', () => db.close());
const notifications = createNotifications(databaseUrl, []);
lifecycle.onShutdown('notifications', () => notifications.close());

// Lazy: an API that cannot reach Temporal yet still answers what the registry knows, and says that it is not ready.
const connection = Connection.lazy({ address: config.temporalAddress });
lifecycle.onShutdown('temporal client', () => connection.close());
const client = new Client({ connection, namespace: config.namespace, plugins: [temporalTracing(telemetry)] });

const key = await loadOrCreateSigningKey(home);
const blobs = createBlobStore(home.blobs);
const feed = createRouteFeed(db, databaseUrl);
const versions = createVersionRegistry(db);
const audit = createAuditLog(db);
const revocations = async () => {
  const { digests, keyIds } = (await feed.read()).revocations;
  return { digests: new Set(digests), keyIds: new Set(keyIds) };
};

const ports: ApiPorts = {
  tokens: createTokenStore(db),
  models: createModelStore(db),
  releases: createReleaseRegistry(db),
  routes: createRouteRegistry(db, notifications),
  versions,
  verifier: createVersionVerifier({
    describe: (digest) => versions.describe(digest),
    readBlob: (digest) => blobs.read(digest),
    trustedKeys: () => loadTrustedKeys(home.trustedFolder),
    revocations,
    now: () => systemClock.now(),
  }),
  labels: createEvidenceSink(db),
  experiments: createExperimentRegistry(db),
  experimentRuns: createTemporalExperiments(client),
  rewards: createRewardSink(db),
  audit: {
    list: (query) => audit.list(query),
    async verify() {
      const trust = {
        trustedKeys: await loadTrustedKeys(home.trustedFolder),
        revokedKeyIds: (await revocations()).keyIds,
      };
      return audit.verify((envelope) => openEnvelope(envelope, envelope.signatures[0]?.keyid ?? '', trust));
    },
  },
  workflows: createTemporalReleases(client),
  dataFiles: {
    exists: (path) =>
      access(path, constants.R_OK).then(
        () => true,
        () => false,
      ),
  },
  readiness: [
    { name: 'database', check: async () => void (await db.pool.query('select 1')) },
    {
      name: 'temporal',
      check: async () =>
        void (await client.withDeadline(Date.now() + 1500, () =>
          connection.workflowService.getSystemInfo({}),
        )),
    },
  ],
  trainers: installedTrainers(),
  metrics: () => telemetry.metricsText(),
};

await ensureTokens(home.tokenFile, ports.tokens);
const checkpoints = keepCheckpoints(
  () => audit.checkpoint(async (statement) => signStatement(statement, key)),
  logger,
);
lifecycle.onShutdown('audit checkpoints', () => checkpoints.close());
const starter = keepStarting(ports, logger);
lifecycle.onShutdown('release starter', () => starter.close());

const app = await createApi({ ports, logger, telemetry });
await app.listen({ host: config.host, port: config.port });
lifecycle.onShutdown('http server', () => app.close());
logger.info({ host: config.host, port: config.port }, 'api is ready');

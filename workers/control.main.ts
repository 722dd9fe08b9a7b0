/** Worker of the queue `control`: every workflow, and the short activities that keep the registry and the routes. */
import {
  createExperimentActivities,
  createObserveActivities,
  createObserveExperimentActivities,
  createRegistryActivities,
  createReleaseActivities,
  createRolloutOwnershipActivities,
  createTrafficActivities,
} from '../activities/index.ts';
import {
  CHANNELS,
  createEvidenceStore,
  createExperimentRegistry,
  createNotifications,
  createReleaseRegistry,
  createRouteRegistry,
  createVersionRegistry,
  openDatabase,
} from '../db/index.ts';
import { createBlobStore } from '../platform/blobs.ts';
import { systemClock } from '../platform/clock.ts';
import { workerConfig } from '../platform/config.ts';
import { homeLayout } from '../platform/home.ts';
import { loadOrCreateSigningKey } from '../platform/keys.ts';
import { TASK_QUEUES } from '../workflows/messages.ts';
import { createModelRuntime } from './adapters/model-runtime.ts';
import { activityPulse } from './adapters/pulse.ts';
import { createRolloutMetrics } from './adapters/rollout-metrics.ts';
import { createOwnerLiveness, createRolloutOwnership, isExperimentRunning } from './adapters/rollouts.ts';
import { createApprovalSigner, createVersionSigner } from './adapters/signers.ts';
import { startWorkerProcess } from './worker-process.ts';
import { workflowBundle } from './workflow-bundle.ts';

const config = workerConfig();
const { lifecycle, logger, client, telemetry, plugins, run } = await startWorkerProcess('control', config);
const home = homeLayout(config.home);

const db = openDatabase({
  databaseUrl: config.databaseUrl,
  applicationName: 'slipway-worker-control',
  onConnectionLost: (error) => logger.warn({ error: String(error) }, 'a database connection was lost'),
});
lifecycle.onShutdown('database', () => db.close());
const notifications = createNotifications(config.databaseUrl, [CHANNELS.evidence, CHANNELS.acknowledgements]);
lifecycle.onShutdown('notifications', () => notifications.close());
const blobs = createBlobStore(home.blobs);
const key = await loadOrCreateSigningKey(home);

const versions = createVersionRegistry(db);
const routes = createRouteRegistry(db, notifications);
const clock = systemClock;

await run({
  taskQueue: TASK_QUEUES.control,
  workflowBundle: await workflowBundle(plugins),
  maxConcurrentActivityTaskExecutions: config.slotsControl,
  maxCachedWorkflows: 200,
  activities: {
    ...createReleaseActivities({
      releases: createReleaseRegistry(db),
      versions,
      signer: createApprovalSigner(key),
      clock,
    }),
    ...createRegistryActivities({
      versions,
      blobs,
      runtime: createModelRuntime(),
      signer: createVersionSigner(key),
      clock,
    }),
    ...createTrafficActivities({ routes, versions, pulse: activityPulse }),
    ...createExperimentActivities({
      experiments: createExperimentRegistry(db),
      routes,
      rollouts: createRolloutOwnership(client),
      isExperimentRunning: (name) => isExperimentRunning(client, name),
    }),
    ...createObserveExperimentActivities({
      experiments: createExperimentRegistry(db),
      routes,
      owners: createOwnerLiveness(client, logger),
      clock,
      pulse: activityPulse,
    }),
    ...createRolloutOwnershipActivities({ rollouts: createRolloutOwnership(client) }),
    ...createObserveActivities({
      routes,
      evidence: createEvidenceStore(db, notifications),
      owners: createOwnerLiveness(client, logger),
      clock,
      pulse: activityPulse,
      onLook: createRolloutMetrics(telemetry.meter),
    }),
  },
});

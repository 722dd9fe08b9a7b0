/** Worker of the queue `train`: data, external trainers and evaluation; its slots are the machine's GPUs or cores. */
import { createEvaluationActivities, createTrainingActivities } from '../activities/index.ts';
import {
  createReleaseRegistry,
  createTrainingCache,
  createVersionRegistry,
  openDatabase,
} from '../db/index.ts';
import { createBlobStore } from '../platform/blobs.ts';
import { workerConfig } from '../platform/config.ts';
import { evaluateGates } from '../platform/gates.ts';
import { homeLayout } from '../platform/home.ts';
import { TASK_QUEUES } from '../workflows/messages.ts';
import { createDatasetStore } from './adapters/datasets.ts';
import { createModelRuntime } from './adapters/model-runtime.ts';
import { activityPulse } from './adapters/pulse.ts';
import { createTrainers } from './adapters/trainers.ts';
import { startWorkerProcess } from './worker-process.ts';

const config = workerConfig();
const { lifecycle, logger, run } = await startWorkerProcess('train', config);
const home = homeLayout(config.home);

const db = openDatabase({
  databaseUrl: config.databaseUrl,
  applicationName: 'slipway-worker-train',
  onConnectionLost: (error) => logger.warn({ error: String(error) }, 'a database connection was lost'),
});
lifecycle.onShutdown('database', () => db.close());
const blobs = createBlobStore(home.blobs);
const datasets = createDatasetStore(blobs, home.training);

await run({
  taskQueue: TASK_QUEUES.train,
  maxConcurrentActivityTaskExecutions: config.slotsTrain,
  activities: {
    ...createTrainingActivities({
      releases: createReleaseRegistry(db),
      datasets,
      trainers: createTrainers({
        blobs,
        folder: home.training,
        cacheFolder: config.cacheFolder,
        python: config.python,
      }),
      cache: createTrainingCache(db),
      pulse: activityPulse,
    }),
    ...createEvaluationActivities({
      datasets,
      versions: createVersionRegistry(db),
      runtime: createModelRuntime(),
      blobs,
      gates: { evaluate: evaluateGates },
      pulse: activityPulse,
    }),
  },
});

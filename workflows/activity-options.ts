/**
 * How each kind of activity is tried, in one place, each with its reason. `startToClose` bounds one attempt,
 * `scheduleToClose` the whole; a heartbeat is what makes a dead worker known.
 */
import { proxyActivities } from '@temporalio/workflow';
import type { EvaluationActivities } from '../activities/evaluation.ts';
import type { ExperimentActivities } from '../activities/experiments.ts';
import type { ObserveExperimentActivities } from '../activities/observe-experiment.ts';
import type { ObserveActivities } from '../activities/observe.ts';
import type { RegistryActivities } from '../activities/registry.ts';
import type { ReleaseActivities } from '../activities/release.ts';
import type { RolloutOwnershipActivities } from '../activities/rollout-ownership.ts';
import type { TrafficActivities } from '../activities/traffic.ts';
import type { TrainingActivities } from '../activities/training.ts';
import { TASK_QUEUES } from './messages.ts';

/**
 * Short transactions on the registry. Ten minutes ride out a database restart; errors that no retry mends are typed
 * non-retryable. A rollout in the way may end some day, but this release says so now instead of waiting in silence.
 */
export const registry = proxyActivities<ReleaseActivities & RegistryActivities & RolloutOwnershipActivities>({
  taskQueue: TASK_QUEUES.control,
  startToCloseTimeout: '30s',
  scheduleToCloseTimeout: '10m',
  retry: {
    initialInterval: '200ms',
    backoffCoefficient: 2,
    maximumInterval: '10s',
    nonRetryableErrorTypes: ['ROLLOUT_IN_PROGRESS'],
  },
});

/** How a release ended must be known some day, however long the registry is away. */
export const bookkeeping = proxyActivities<Pick<ReleaseActivities, 'recordPhase'>>({
  taskQueue: TASK_QUEUES.control,
  startToCloseTimeout: '30s',
  retry: { initialInterval: '200ms', backoffCoefficient: 2, maximumInterval: '10s' },
});

/**
 * Forward route changes: given up after five minutes, because a candidate that cannot be routed must be rolled back. A
 * conflict is final: the same expected generation will not come back.
 */
export const traffic = proxyActivities<TrafficActivities>({
  taskQueue: TASK_QUEUES.control,
  startToCloseTimeout: '15s',
  scheduleToCloseTimeout: '5m',
  retry: {
    initialInterval: '200ms',
    backoffCoefficient: 2,
    maximumInterval: '5s',
    nonRetryableErrorTypes: ['GENERATION_CONFLICT'],
  },
});

/** Waiting for gateways to load a version and apply a route: slow models take their time, a dead worker must not. */
export const gateways = proxyActivities<Pick<TrafficActivities, 'awaitGateways'>>({
  taskQueue: TASK_QUEUES.control,
  startToCloseTimeout: '3m',
  scheduleToCloseTimeout: '10m',
  heartbeatTimeout: '10s',
  retry: {
    initialInterval: '500ms',
    backoffCoefficient: 2,
    maximumInterval: '5s',
    // It has waited for as long as it was asked to.
    nonRetryableErrorTypes: ['GATEWAY_NOT_ACKNOWLEDGED'],
  },
});

/** Restoring the champion is never given up. */
export const restore = proxyActivities<Pick<TrafficActivities, 'restoreChampion'>>({
  taskQueue: TASK_QUEUES.control,
  startToCloseTimeout: '15s',
  retry: { initialInterval: '200ms', backoffCoefficient: 2, maximumInterval: '10s' },
  priority: { priorityKey: 1 },
});

/**
 * A step may last for days; five seconds without a heartbeat mean a dead worker, and the next attempt must begin well
 * inside the shortest lease. Attempts are unbounded because the lease ends the exposure by itself.
 */
export const observation = proxyActivities<ObserveActivities>({
  taskQueue: TASK_QUEUES.control,
  startToCloseTimeout: '7d',
  heartbeatTimeout: '5s',
  retry: { initialInterval: '200ms', backoffCoefficient: 1.5, maximumInterval: '2s' },
});

/** What an experiment reads and writes once. Whatever is in its way is said at once, as for a rollout. */
export const experimentRegistry = proxyActivities<
  Pick<ExperimentActivities, 'prepareExperiment' | 'openExperiment'>
>({
  taskQueue: TASK_QUEUES.control,
  startToCloseTimeout: '30s',
  scheduleToCloseTimeout: '5m',
  retry: {
    initialInterval: '200ms',
    backoffCoefficient: 2,
    maximumInterval: '10s',
    nonRetryableErrorTypes: ['ROLLOUT_IN_PROGRESS'],
  },
});

/**
 * An experiment may last for weeks. A look every five seconds may join 100,000 rewards, so it may take a while; a worker
 * that is silent for longer than that is dead.
 */
export const experimentObservation = proxyActivities<ObserveExperimentActivities>({
  taskQueue: TASK_QUEUES.control,
  startToCloseTimeout: '7d',
  heartbeatTimeout: '20s',
  retry: { initialInterval: '500ms', backoffCoefficient: 1.5, maximumInterval: '5s' },
});

/** Never given up, as when a rollout gives its endpoint back; a conflict means that the route has just moved: look again. */
export const experimentRestore = proxyActivities<Pick<ExperimentActivities, 'restoreFromExperiment'>>({
  taskQueue: TASK_QUEUES.control,
  startToCloseTimeout: '15s',
  retry: { initialInterval: '200ms', backoffCoefficient: 2, maximumInterval: '10s' },
  priority: { priorityKey: 1 },
});

/** How it ended must be known some day. */
export const experimentBookkeeping = proxyActivities<Pick<ExperimentActivities, 'endExperiment'>>({
  taskQueue: TASK_QUEUES.control,
  startToCloseTimeout: '1m',
  retry: { initialInterval: '200ms', backoffCoefficient: 2, maximumInterval: '10s' },
});

/** Reading and writing the training data, and evaluation: minutes at most. They beat by a timer, so a dead worker is missed within half a minute. */
export const data = proxyActivities<Pick<TrainingActivities, 'snapshotDataset'> & EvaluationActivities>({
  taskQueue: TASK_QUEUES.train,
  startToCloseTimeout: '1h',
  scheduleToCloseTimeout: '3h',
  heartbeatTimeout: '30s',
  retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '1m', maximumAttempts: 5 },
});

/**
 * Training costs money, so attempts are few; each resumes from the last checkpoint. The worker beats by a timer while
 * the trainer lives, so fifteen seconds without a heartbeat mean that the worker is gone.
 */
export const training = proxyActivities<Pick<TrainingActivities, 'runTraining'>>({
  taskQueue: TASK_QUEUES.train,
  startToCloseTimeout: '12h',
  scheduleToCloseTimeout: '24h',
  heartbeatTimeout: '15s',
  retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '10m', maximumAttempts: 5 },
});

/**
 * The durable sequences. A workflow waits and delegates: what follows from what is decided by pure functions in
 * `domain/`, what touches the world is an activity. Exactly the functions exported here are workflows.
 */
export { releaseModel } from './release-model.ts';
export { rollbackModel } from './rollback-model.ts';
export { rolloutVersion } from './rollout-version.ts';
export { runExperiment } from './run-experiment.ts';
export { routeGuard } from './route-guard.ts';
export { trainModel } from './train-model.ts';

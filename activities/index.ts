/**
 * Every side effect that a workflow may take. Each file is a factory over ports (`ports.ts`, `training-ports.ts`) that
 * the workers fill in. Every activity is idempotent: the same input twice leaves one effect.
 */
export { domainErrors, toFailure } from './edge.ts';
export { createEvaluationActivities } from './evaluation.ts';
export { createExperimentActivities } from './experiments.ts';
export { createObserveExperimentActivities } from './observe-experiment.ts';
export { createObserveActivities } from './observe.ts';
export { createRegistryActivities } from './registry.ts';
export { createReleaseActivities } from './release.ts';
export { createRolloutOwnershipActivities } from './rollout-ownership.ts';
export { createTrafficActivities } from './traffic.ts';
export { createTrainingActivities } from './training.ts';

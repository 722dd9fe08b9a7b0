/**
 * How many gateway processes there should be: by requests per second, event-loop utilisation and p99 latency.
 *
 * Promises, each held by a property test: never outside the bounds; constant load ends in a constant number; more load
 * never gives fewer processes; what is not known never takes a process away.
 */
export { decide, NO_HISTORY } from './decide.ts';
export type { Decision, Observation, ProcessSample, ScalingState } from './decide.ts';
export { DEFAULT_SCALING_POLICY } from './policy.ts';
export type { ScalingPolicy } from './policy.ts';

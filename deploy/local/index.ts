/**
 * The stack on one machine: Temporal, PostgreSQL and Slipway's own processes, without Docker.
 *
 * Promises: what is missing is fetched once, with progress, or an error says what to install; a taken port is
 * replaced; data stays in the home; two homes run side by side, one home never twice; whatever way the supervisor
 * ends, nothing keeps running and nothing stands in the way of the next start; no process is ever signalled that was
 * not proven to be ours.
 */
export { diagnose } from './doctor.ts';
export type { Finding } from './doctor.ts';
export { progressLine } from './progress.ts';
export type { OnProgress, ProgressEvent } from './progress.ts';
export { runGateway } from './run-gateway.ts';
export { findRunningStack } from './stack-file.ts';
export type { StackInfo } from './stack-file.ts';
export { STACK_PROCESSES } from './stack-processes.ts';
export type { StackProcess } from './stack-processes.ts';
export { startStack } from './stack.ts';
export type { RunningStack, StartStackOptions } from './stack.ts';

/**
 * Data: from a declared file and query to a dataset snapshot, and from snapshots and predictions to typed arrays.
 *
 * Promises: the same file, query and cut give the same bytes; the query of a manifest reads its own file and nothing
 * else; data that cannot be trained on is refused whole, naming each column and the reason.
 */
export { createSnapshot } from './dataset-snapshot.ts';
export type { SnapshotOptions, Snapshot } from './dataset-snapshot.ts';
export { readRows } from './dataset-rows.ts';
export type { DatasetRows } from './dataset-rows.ts';
export { readPredictions } from './predictions.ts';
export type { HeldOutPredictions } from './predictions.ts';

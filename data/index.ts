/**
 * Data: from a declared file and query to a dataset snapshot, from snapshots and predictions to typed arrays, and from
 * the prediction log to Parquet.
 *
 * Promises: the same file, query and cut give the same bytes; the query of a manifest reads its own file and nothing
 * else; data that cannot be trained on is refused whole, naming each column and the reason.
 */
export { exportPredictions } from './export-predictions.ts';
export { listPredictions } from './list-predictions.ts';
export type { ListedSegment } from './list-predictions.ts';
export { createSnapshot } from './dataset-snapshot.ts';
export type { SnapshotOptions, Snapshot } from './dataset-snapshot.ts';
export { readRows } from './dataset-rows.ts';
export type { DatasetRows } from './dataset-rows.ts';
export { readPredictions } from './predictions.ts';
export type { HeldOutPredictions } from './predictions.ts';

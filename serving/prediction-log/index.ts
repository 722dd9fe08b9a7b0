/**
 * The prediction log on disk: what was asked (allowed features only), who answered, and what the answer was, in binary
 * columnar segments beside the rows that go to PostgreSQL.
 *
 * Promises: adding a row never waits and throws nothing; memory is bounded; what does not fit is dropped and counted,
 * in a metric and in the log itself; what was committed survives a crash. Rows because a text line of 64 features costs
 * some ten times the CPU of the whole row here (`bench/serving/prediction-log.bench.ts`).
 */
export { SegmentLog } from './segment-log.ts';
export type { SegmentLogOptions, SegmentMetrics } from './segment-log.ts';
export type { EndpointLog, LoggedPrediction } from './endpoint-log.ts';
export { predictionSchema } from './prediction-columns.ts';

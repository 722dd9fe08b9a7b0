/** Traces, metrics and logs, the same in every process. */
export type { HotHistograms, HotSeries } from './hot-histogram.ts';
export { createInstruments } from './instruments.ts';
export type { Instruments, MetricRow } from './instruments.ts';
export { createLogger } from './logger.ts';
export type { Logger } from './logger.ts';
export { METRICS_CONTENT_TYPE, startTelemetry } from './telemetry.ts';
export type { Telemetry, TelemetryOptions } from './telemetry.ts';

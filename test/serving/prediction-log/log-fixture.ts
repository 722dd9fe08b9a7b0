/** Predictions with known content, and what the log says about them. */
import { join } from 'node:path';
import type { Clock } from '../../../platform/clock.ts';
import { systemClock } from '../../../platform/clock.ts';
import {
  listSegmentFiles,
  newReadReport,
  readSegments,
  valuesOf,
} from '../../../platform/prediction-segments/index.ts';
import type { ColumnValue, ReadReport } from '../../../platform/prediction-segments/index.ts';
import { NO_LOG } from '../../../serving/log.ts';
import type { GatewayLog } from '../../../serving/log.ts';
import { SegmentLog, predictionSchema } from '../../../serving/prediction-log/index.ts';
import type { LoggedPrediction, SegmentLogOptions } from '../../../serving/prediction-log/index.ts';

export const BASE_MS = Date.parse('2026-01-01T00:00:00Z');
export const GATEWAY = 'host/../x:8301';

/** `price` is online; `secret` is not on the allow-list. */
export const FEATURES = [{ name: 'demand' }, { name: 'secret' }, { name: 'price', online: {} }];
export const SCHEMA = predictionSchema('elec2', FEATURES, ['demand', 'price']);

export const uuidOf = (n: number): string => `0190a000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`;
export const VERSION = `sha256:${'ab'.repeat(32)}`;

/** Request number `n`: every value follows from it. */
export function prediction(n: number, changes: Partial<LoggedPrediction> = {}): LoggedPrediction {
  const rows = changes.rows ?? 1;
  return {
    predictionId: uuidOf(n),
    rows,
    atMs: BASE_MS + n,
    generation: 3,
    arm: 'champion',
    version: VERSION,
    experiment: null,
    propensity: 1,
    outcome: 'ok',
    output: {
      labels: BigInt64Array.from({ length: rows }, (_, i) => BigInt(n + i)),
      scores: Float32Array.from({ length: rows }, (_, i) => ((n + i) % 100) / 100),
    },
    latencyMs: 1.5,
    features: Float32Array.from({ length: rows * 3 }, (_, i) => n + i / 8),
    statuses: null,
    ...changes,
  };
}

export class SeenMetrics {
  written = 0;
  dropped = 0;
  commits = 0;
  failures = 0;
  predictionsLogged(_: string, written: number, dropped: number): void {
    this.written += written;
    this.dropped += dropped;
  }
  predictionLogCommit(): void {
    this.commits += 1;
  }
  predictionLogFailed(): void {
    this.failures += 1;
  }
}

export class SeenLog implements GatewayLog {
  readonly lines: string[] = [];
  info = NO_LOG.info;
  warn = (_: object, message: string): void => void this.lines.push(message);
  error = (_: object, message: string): void => void this.lines.push(message);
}

export function openLog(
  folder: string,
  options: Partial<SegmentLogOptions> = {},
): { readonly log: SegmentLog; readonly metrics: SeenMetrics; readonly lines: readonly string[] } {
  const metrics = new SeenMetrics();
  const seen = new SeenLog();
  const log = new SegmentLog({
    folder,
    gatewayId: GATEWAY,
    bootId: '0b0e7c1e-1111-4222-8333-444444444444',
    maxBytes: 2 ** 40,
    clock: systemClock,
    metrics,
    log: seen,
    ...options,
  });
  return { log, metrics, lines: seen.lines };
}

export type LoggedRow = Readonly<Record<string, ColumnValue>>;

export async function segmentsOf(folder: string, endpoint = 'elec2'): Promise<string[]> {
  return (await listSegmentFiles(join(folder, endpoint))).map(({ path }) => path);
}

/** Every row of an endpoint; features as `feature.x`, statuses as `status.x`. */
export async function rowsIn(
  folder: string,
  endpoint = 'elec2',
): Promise<{ readonly rows: readonly LoggedRow[]; readonly report: ReadReport }> {
  const report = newReadReport();
  const rows: LoggedRow[] = [];
  for await (const block of readSegments(await segmentsOf(folder, endpoint), report)) {
    const columns = block.schema.columns.map(
      ({ name, role }, index) =>
        [role === 'fixed' ? name : `${role}.${name}`, valuesOf(block, index)] as const,
    );
    for (let row = 0; row < block.rows; row += 1) {
      rows.push(Object.fromEntries(columns.map(([name, values]) => [name, values[row] as ColumnValue])));
    }
  }
  return { rows, report };
}

/** A clock whose wall time is set by hand. */
export class HandClock implements Clock {
  wallMs = BASE_MS;
  now(): number {
    return this.wallMs;
  }
  monotonic(): number {
    return performance.now();
  }
}

/** What waits for `opened` goes on once `open` is called. */
export function newGate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

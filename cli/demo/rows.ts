/** The example's own rows as callers would send them: the manifest's query over its file, without a training cut. */
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSnapshot, readRows } from '../../data/index.ts';

export interface ReplayRows {
  readonly count: number;
  readonly features: readonly string[];
  /** Row-major [count, features]. */
  readonly values: Float32Array;
  readonly labels: Uint8Array;
  /** Unix milliseconds. */
  readonly eventTimesMs: Float64Array;
}

export interface ReplaySource {
  readonly file: string;
  readonly query: string;
  readonly features: readonly string[];
  readonly target: string;
}

/** Rows from `from` (ISO 8601) on. */
export async function replayRows(source: ReplaySource, from: string): Promise<ReplayRows> {
  const output = join(tmpdir(), `slipway-replay-${process.pid}-${Date.now()}.parquet`);
  try {
    await createSnapshot({ ...source, output });
    const all = await readRows(output, source.features, source.target);
    const fromMs = Date.parse(from);
    const start = all.eventTimesMs.findIndex((time) => time >= fromMs);
    const width = source.features.length;
    return {
      count: all.count - start,
      features: source.features,
      values: all.values.slice(start * width),
      labels: all.labels.slice(start),
      eventTimesMs: all.eventTimesMs.slice(start),
    };
  } finally {
    await rm(output, { force: true });
  }
}

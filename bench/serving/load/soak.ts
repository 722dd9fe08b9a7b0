/** A long run at a modest rate: does memory grow, do answers get slower, does anything fail? */
import type { Memory } from './load-server.ts';
import { total } from './server-under-load.ts';
import type { Pressure, ServerUnderLoad } from './server-under-load.ts';

export interface SoakSample {
  /** Since the soak began. */
  readonly minute: number;
  readonly rssBytes: number;
  readonly heapUsed: number;
  readonly external: number;
  readonly offered: number;
  readonly answered: number;
  readonly rejected: number;
  readonly failed: number;
  /** Rows of the prediction log that were not written. */
  readonly logDropped: number;
  readonly p50: number;
  readonly p99: number;
  readonly cpuUsPerRequest: number;
  readonly pressure: Pressure;
  readonly noisy: boolean;
}

export interface SoakResult {
  readonly perSecond: number;
  readonly minutes: number;
  readonly warmUpMinutes: number;
  readonly samples: readonly SoakSample[];
  /** Least squares over the samples after the warm-up; the interval is twice its standard error. */
  readonly rssSlopeBytesPerHour: number;
  readonly rssSlopeError: number;
  /** Of the quiet windows' median latency, last third against the first one after the warm-up; NaN without any. */
  readonly latencyDrift: number;
}

const WINDOW_MS = 20_000;
const WARM_UP_SHARE = 1 / 3;
const MAX_WARM_UP_MINUTES = 10;
const CONNECTIONS = 64;
/** An endpoint's default: rejections are another profile's business. */
const DEADLINE_MS = 1000;

export async function soak(
  server: ServerUnderLoad,
  perSecond: number,
  minutes: number,
  onSample: (result: SoakResult) => Promise<void>,
): Promise<SoakResult> {
  const warmUpMinutes = Math.min(MAX_WARM_UP_MINUTES, minutes * WARM_UP_SHARE);
  const samples: SoakSample[] = [];
  const started = performance.now();
  const minute = (): number => (performance.now() - started) / 60_000;
  let result = summed(samples, { perSecond, minutes, warmUpMinutes });
  while (minute() < minutes) {
    const ms = Math.max(1000, Math.min(WINDOW_MS, (minutes - minute()) * 60_000));
    const { phases, logged, cpuUsPerRequest, pressure, noisy } = await server.window(
      [{ name: 'soak', perSecond, ms }],
      { connections: CONNECTIONS, deadlineMs: DEADLINE_MS },
    );
    const [phase] = phases;
    if (phase === undefined) break;
    const memory = await server.ask<Memory>({ do: 'memory' });
    samples.push({
      minute: minute(),
      rssBytes: server.rssBytes(),
      ...memory,
      cpuUsPerRequest,
      pressure,
      noisy,
      offered: total(phase, 'offered'),
      answered: total(phase, 'good') + total(phase, 'late'),
      rejected: total(phase, 'rejected') + total(phase, 'expired') + total(phase, 'unsent'),
      failed: total(phase, 'failed'),
      logDropped: logged.dropped,
      p50: phase.p50,
      p99: phase.p99,
    });
    result = summed(samples, { perSecond, minutes, warmUpMinutes });
    await onSample(result);
  }
  return result;
}

function summed(
  samples: readonly SoakSample[],
  settings: Pick<SoakResult, 'perSecond' | 'minutes' | 'warmUpMinutes'>,
): SoakResult {
  const after = samples.filter(({ minute }) => minute > settings.warmUpMinutes);
  const { slope, error } = fitted(after.map(({ minute, rssBytes }) => [minute / 60, rssBytes]));
  const quiet = after.filter(({ noisy }) => !noisy).map(({ p50 }) => p50);
  const third = Math.ceil(quiet.length / 3);
  return {
    ...settings,
    samples: [...samples],
    rssSlopeBytesPerHour: slope,
    rssSlopeError: 2 * error,
    latencyDrift: median(quiet.slice(-third)) / median(quiet.slice(0, third)) - 1,
  };
}

function fitted(points: readonly (readonly [number, number])[]): { slope: number; error: number } {
  const n = points.length;
  if (n < 3) return { slope: NaN, error: NaN };
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / n;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / n;
  const sxx = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  const slope = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0) / sxx;
  const residual = points.reduce((sum, [x, y]) => sum + (y - meanY - slope * (x - meanX)) ** 2, 0);
  return { slope, error: Math.sqrt(residual / (n - 2) / sxx) };
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

/** Medians with ranges, and intervals for paired ratios. */
import type { Rng } from '../../../test/support/rng.ts';

export interface Range {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

export function range(values: readonly number[]): Range {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  const median = sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
  return { median, low: sorted[0] ?? NaN, high: sorted.at(-1) ?? NaN };
}

const RESAMPLES = 10_000;

/**
 * The geometric mean of `above[i] / below[i]` with the 95 % percentile interval of a bootstrap over the rounds. Few
 * rounds make it too narrow rather than too wide.
 */
export function pairedRatio(above: readonly number[], below: readonly number[], rng: Rng): Range {
  const logs = above.map((value, index) => Math.log(value / (below[index] ?? NaN)));
  const means = Array.from({ length: RESAMPLES }, () => {
    let sum = 0;
    for (let i = 0; i < logs.length; i += 1) sum += logs[rng.integer(logs.length)] ?? NaN;
    return sum / logs.length;
  }).sort((a, b) => a - b);
  const at = (share: number): number => Math.exp(means[Math.floor(share * (RESAMPLES - 1))] ?? NaN);
  const mean = logs.reduce((a, b) => a + b, 0) / logs.length;
  return { median: Math.exp(mean), low: at(0.025), high: at(0.975) };
}

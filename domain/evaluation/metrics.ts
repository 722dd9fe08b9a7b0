/**
 * Offline metrics of a binary classifier, with bootstrap intervals.
 *
 * Scores are probabilities of class 1 in [0, 1], labels are 0 or 1, both of length n. Gates look at the bounds of
 * the intervals, never at the points: a candidate has to be shown good, not to look good.
 */
import type { Random } from './random.ts';

export interface Estimate {
  readonly value: number;
  /** Percentile bootstrap bounds at the stated confidence (Efron & Tibshirani 1993, ch. 13). */
  readonly lower: number;
  readonly upper: number;
}

export interface Scored {
  readonly scores: Float64Array;
  readonly labels: Uint8Array;
}

/** Share of rows whose score is on the label's side of `threshold`. */
export function accuracy({ scores, labels }: Scored, threshold = 0.5): number {
  let right = 0;
  for (let i = 0; i < scores.length; i++) if ((scores[i]! >= threshold ? 1 : 0) === labels[i]) right++;
  return right / scores.length;
}

/**
 * Area under the ROC curve by the Mann–Whitney rank sum with mid-ranks for ties (Hanley & McNeil 1982).
 * NaN when only one class is present.
 */
export function auc({ scores, labels }: Scored): number {
  const order = Uint32Array.from(scores, (_, i) => i).sort((a, b) => scores[a]! - scores[b]!);
  let positives = 0;
  let rankSum = 0;
  for (let i = 0; i < order.length;) {
    let j = i;
    while (j < order.length && scores[order[j]!] === scores[order[i]!]) j++;
    const midRank = (i + 1 + j) / 2;
    for (let k = i; k < j; k++) {
      if (labels[order[k]!] === 1) {
        positives++;
        rankSum += midRank;
      }
    }
    i = j;
  }
  const negatives = order.length - positives;
  if (positives === 0 || negatives === 0) return Number.NaN;
  return (rankSum - (positives * (positives + 1)) / 2) / (positives * negatives);
}

/** Mean negative log likelihood in nats, scores clipped to [1e-15, 1 − 1e-15]. */
export function logLoss({ scores, labels }: Scored): number {
  let sum = 0;
  for (let i = 0; i < scores.length; i++) {
    const p = Math.min(Math.max(scores[i]!, 1e-15), 1 - 1e-15);
    sum -= Math.log(labels[i] === 1 ? p : 1 - p);
  }
  return sum / scores.length;
}

/** Share of rows where repeating the previous label is right: what a model of an autocorrelated target must beat. */
export function noChangeAccuracy(labels: Uint8Array): number {
  let right = 0;
  for (let i = 1; i < labels.length; i++) if (labels[i] === labels[i - 1]) right++;
  return right / (labels.length - 1);
}

export interface BootstrapOptions {
  readonly random: Random;
  readonly resamples: number;
  /** Two-sided, e.g. 0.95. */
  readonly confidence: number;
  /**
   * Rows are drawn in runs of this length (circular block bootstrap, Politis & Romano 1992): neighbouring rows of a
   * time series are alike, and resampling them one by one would make intervals far too narrow.
   */
  readonly blockLength: number;
}

/** Interval of `statistic` over rows of one sample. */
export function bootstrap(
  sample: Scored,
  statistic: (sample: Scored) => number,
  options: BootstrapOptions,
): Estimate {
  const n = sample.scores.length;
  const draw: Scored = { scores: new Float64Array(n), labels: new Uint8Array(n) };
  const values = resample(n, options, (rows) => {
    for (let i = 0; i < n; i++) {
      draw.scores[i] = sample.scores[rows[i]!]!;
      draw.labels[i] = sample.labels[rows[i]!]!;
    }
    return statistic(draw);
  });
  return interval(statistic(sample), values, options.confidence);
}

/**
 * Interval of `statistic(candidate) − statistic(champion)` where each resample takes the same rows of both (paired
 * bootstrap), so that what is common to both cancels. Both must score the same rows in the same order.
 */
export function pairedDifference(
  candidate: Scored,
  champion: Scored,
  statistic: (sample: Scored) => number,
  options: BootstrapOptions,
): Estimate {
  const n = candidate.scores.length;
  const first: Scored = { scores: new Float64Array(n), labels: new Uint8Array(n) };
  const second: Scored = { scores: new Float64Array(n), labels: first.labels };
  const values = resample(n, options, (rows) => {
    for (let i = 0; i < n; i++) {
      const row = rows[i]!;
      first.scores[i] = candidate.scores[row]!;
      second.scores[i] = champion.scores[row]!;
      first.labels[i] = candidate.labels[row]!;
    }
    return statistic(first) - statistic(second);
  });
  return interval(statistic(candidate) - statistic(champion), values, options.confidence);
}

function resample(
  n: number,
  { random, resamples, blockLength }: BootstrapOptions,
  compute: (rows: Uint32Array) => number,
): Float64Array {
  const rows = new Uint32Array(n);
  const values = new Float64Array(resamples);
  for (let b = 0; b < resamples; b++) {
    for (let i = 0; i < n;) {
      const start = Math.floor(random() * n);
      for (let k = 0; k < blockLength && i < n; k++) rows[i++] = (start + k) % n;
    }
    values[b] = compute(rows);
  }
  return values.sort();
}

function interval(value: number, sorted: Float64Array, confidence: number): Estimate {
  const tail = (1 - confidence) / 2;
  return { value, lower: quantile(sorted, tail), upper: quantile(sorted, 1 - tail) };
}

/** Linear interpolation between order statistics (Hyndman & Fan 1996, type 7). */
export function quantile(sorted: Float64Array, p: number): number {
  const position = p * (sorted.length - 1);
  const below = Math.floor(position);
  const low = sorted[below]!;
  const high = sorted[Math.min(below + 1, sorted.length - 1)]!;
  return low + (high - low) * (position - below);
}

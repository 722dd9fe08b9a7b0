/**
 * What another policy would have earned, from decisions that were logged with their propensities.
 *
 * - IPS: the mean of w·reward with w = target probability / propensity. Unbiased; its variance grows with the weights.
 * - SNIPS (Swaminathan & Joachims 2015): Σ w·reward / Σ w. Slightly biased, within the range of the rewards, and with far
 *   less variance: the better number to act on.
 *
 * Both need a propensity above 0 wherever the target may choose: a policy's floor provides that. Intervals are the
 * normal approximation at 95 % for one look; trust them only with a large effective sample size.
 */
import { SlipwayError } from '../errors.ts';
import type { Interval } from './bounded-mean.ts';

export interface LoggedDecision {
  readonly arm: number;
  /** With which the arm was chosen, in (0, 1]. */
  readonly propensity: number;
  readonly reward: number;
  readonly context?: readonly number[];
}

/** Probability that the target policy chooses `decision.arm` for this decision's context. */
export type TargetPolicy = (decision: LoggedDecision) => number;

export interface Estimate {
  readonly value: number;
  readonly standardError: number;
  readonly interval: Interval;
}

export interface OffPolicyResult {
  readonly rows: number;
  readonly ips: Estimate;
  readonly snips: Estimate;
  /** (Σw)²/Σw²: as many rows drawn from the target itself would say about as much. */
  readonly effectiveSampleSize: number;
  readonly largestWeight: number;
  /** Rows whose weight was cut to `clip`: above 0, both estimates are biased towards what was logged. */
  readonly clipped: number;
}

const Z_95 = 1.959963984540054;

/**
 * @param clip largest weight; without it none is cut.
 * @throws SlipwayError `INVALID_PARAMETER` without rows, for a propensity that isn't in (0, 1], a probability that isn't in
 *   [0, 1], or when the target never chooses what was logged.
 */
export function evaluateOffPolicy(
  decisions: readonly LoggedDecision[],
  target: TargetPolicy,
  clip = Infinity,
): OffPolicyResult {
  if (!(clip > 0)) throw new SlipwayError('INVALID_PARAMETER', `clip must be above 0, not ${clip}`);
  let clipped = 0;
  const weights = decisions.map((decision) => {
    const weight = importance(decision, target(decision));
    if (weight > clip) clipped += 1;
    return Math.min(weight, clip);
  });
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (total === 0) {
    throw new SlipwayError(
      'INVALID_PARAMETER',
      'the target policy never chooses what was logged; nothing can be said',
    );
  }
  const rows = decisions.length;
  let earned = 0;
  let squares = 0;
  decisions.forEach(({ reward }, row) => {
    const weight = weights[row] as number;
    earned += weight * reward;
    squares += weight * weight;
  });
  const ips = earned / rows;
  const snips = earned / total;
  let ipsSpread = 0;
  let snipsSpread = 0;
  decisions.forEach(({ reward }, row) => {
    const weight = weights[row] as number;
    ipsSpread += (weight * reward - ips) ** 2;
    snipsSpread += (weight * (reward - snips)) ** 2;
  });
  return {
    rows,
    ips: estimate(ips, rows < 2 ? Infinity : Math.sqrt(ipsSpread / (rows - 1) / rows)),
    snips: estimate(snips, rows < 2 ? Infinity : Math.sqrt(snipsSpread) / total),
    effectiveSampleSize: (total * total) / squares,
    largestWeight: weights.reduce((largest, weight) => Math.max(largest, weight), 0),
    clipped,
  };
}

/** Always the same shares, in basis points. */
export function fixedShares(shares: readonly number[]): TargetPolicy {
  return ({ arm }) => (shares[arm] ?? 0) / 10_000;
}

function importance({ propensity, reward }: LoggedDecision, probability: number): number {
  if (!(propensity > 0 && propensity <= 1)) {
    throw new SlipwayError(
      'INVALID_PARAMETER',
      `a propensity must be above 0 and at most 1, not ${propensity}`,
    );
  }
  if (!(probability >= 0 && probability <= 1)) {
    throw new SlipwayError('INVALID_PARAMETER', `a target probability must be 0 to 1, not ${probability}`);
  }
  if (!Number.isFinite(reward))
    throw new SlipwayError('INVALID_PARAMETER', `a reward must be finite, not ${reward}`);
  return probability / propensity;
}

function estimate(value: number, standardError: number): Estimate {
  const reach = Z_95 * standardError;
  return { value, standardError, interval: { lower: value - reach, upper: value + reach } };
}

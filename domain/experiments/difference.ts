/**
 * By how much one arm's mean reward exceeds the control's, with a confidence sequence that rests on the random
 * assignment alone.
 *
 * A rewarded request belongs to the arm with probability w (its weight among the two). With any constant c,
 *   D = (x − c)/w for the arm and −(x − c)/(1 − w) for the control
 * has the mean δ = (arm's mean) − (control's mean), whatever both means are and however they wander through the day
 * together (inverse-propensity weighting). So exp(λΣ(D−δ)/b − ψ(λ)Σ((D−δ)/b)²), with |D − δ| ≤ b, is an e-process
 * under "the difference never exceeds δ" (Fan, Grama & Liu 2015; Howard et al. 2021 for treatment effects;
 * Waudby-Smith et al. 2024 for logged policies), not only asymptotically. D's variance is smallest with c at the
 * common mean, which nobody knows beforehand; the e-values of several c are averaged instead, like those of several
 * λ. All of it is a function of counts per segment of constant weights.
 *
 * If rewards reach one arm rather than the other, w is wrong and so is everything here: that is what the
 * sample-ratio test in `ab-result.ts` is for.
 */
import { SlipwayError } from '../errors.ts';
import { logMeanExp } from '../rollout/e-process.ts';
import type { Interval, RewardTotals } from './bounded-mean.ts';
import { crossing, requireAlpha, requireTotals, STAKES } from './bounded-mean.ts';

/** Rewards of both arms while the arm had the share `share` of the two arms' requests. */
export interface PairSegment {
  readonly share: number;
  readonly arm: RewardTotals;
  readonly control: RewardTotals;
}

/**
 * Constants c. For conversions the variance is m(1−m), so seven keep the excess (m−c)² below 7 % of it; rewards may
 * vary less than that and get a finer grid, for one more unit of logarithm.
 */
const CENTRES = {
  conversion: [0, 0.1, 0.3, 0.5, 0.7, 0.9, 1],
  reward: Array.from({ length: 21 }, (_, index) => index / 20),
} as const;

/** One segment's sums of D and D² for one c, in units of the bound b. */
interface Scaled {
  readonly requests: number;
  readonly sum: number;
  readonly sumSquares: number;
  readonly bound: number;
}

/**
 * Log e-value against "the arm's mean never exceeds the control's by more than `difference`" (`direction` 1), or
 * "never by less" (−1).
 */
export function differenceLogE(
  metric: 'conversion' | 'reward',
  segments: readonly PairSegment[],
  difference: number,
  direction: 1 | -1,
): number {
  return logE(prepare(metric, segments), difference, direction);
}

/** Each end fails with probability at most `alpha`/2, so the whole at most with `alpha`, over all looks together. */
export function differenceInterval(
  metric: 'conversion' | 'reward',
  segments: readonly PairSegment[],
  alpha: number,
): Interval {
  requireAlpha(alpha);
  const prepared = prepare(metric, segments);
  const needed = Math.log(2 / alpha);
  // Both e-values are monotone in the difference, since no stake exceeds 0.5; 1 and −1 are the ends of what is possible.
  const lower = crossing((value) => logE(prepared, value, 1), 1, -1, needed);
  const upper = crossing((value) => logE(prepared, value, -1), -1, 1, needed);
  return { lower, upper };
}

function prepare(
  metric: 'conversion' | 'reward',
  segments: readonly PairSegment[],
): readonly (readonly Scaled[])[] {
  const compared = segments.filter(({ share }) => share !== 0 && share !== 1);
  for (const { share, arm, control } of compared) {
    if (!(share > 0 && share < 1)) {
      throw new SlipwayError('INVALID_PARAMETER', `a share must be between 0 and 1, not ${share}`);
    }
    requireTotals(arm);
    requireTotals(control);
  }
  return CENTRES[metric].map((centre) => compared.map((segment) => scaled(segment, centre)));
}

function scaled({ share, arm, control }: PairSegment, centre: number): Scaled {
  const reach = Math.max(centre, 1 - centre);
  const bound = reach / Math.min(share, 1 - share) + 1;
  return {
    requests: arm.rewards + control.rewards,
    sum: (off(arm, centre) / share - off(control, centre) / (1 - share)) / bound,
    sumSquares:
      (squaredOff(arm, centre) / (share * share) +
        squaredOff(control, centre) / ((1 - share) * (1 - share))) /
      (bound * bound),
    bound,
  };
}

function off({ rewards, sum }: RewardTotals, centre: number): number {
  return sum - rewards * centre;
}

function squaredOff({ rewards, sum, sumSquares }: RewardTotals, centre: number): number {
  return Math.max(0, sumSquares - 2 * centre * sum + rewards * centre * centre);
}

function logE(prepared: readonly (readonly Scaled[])[], difference: number, direction: 1 | -1): number {
  const logs: number[] = [];
  for (const segments of prepared) {
    let total = 0;
    let spread = 0;
    for (const { requests, sum, sumSquares, bound } of segments) {
      const each = difference / bound;
      total += sum - requests * each;
      spread += Math.max(0, sumSquares - 2 * each * sum + requests * each * each);
    }
    for (const { stake, price } of STAKES) logs.push(direction * stake * total - price * spread);
  }
  return logMeanExp(logs);
}

/**
 * The e-values under every verdict, as natural logarithms of closed forms in a few counts.
 *
 * An e-process starts at 1 and, while its null hypothesis holds, is a non-negative supermartingale: by Ville's
 * inequality the chance that it *ever* reaches 1/α is at most α. So a rollout may look each second, at no cost, and
 * stop whenever it likes. All of them here are mixtures of likelihood ratios with fixed weights, so each is a
 * function of counts alone: nothing depends on how often somebody looked, in which order rows came in, or which
 * gateway counted them, and a verdict can be computed again from stored rows.
 *
 * What is assumed: bad events of different requests are independent given the arm. Retries of one client are not.
 */
import { SlipwayError } from '../errors.ts';

/** Bad events of both arms while the candidate had one `share` of the requests (see `Segment`). */
export interface BadEvents {
  readonly share: number;
  readonly candidateBad: number;
  readonly championBad: number;
}

/**
 * log of the mean of `exp(logs)`. The largest is taken out first, so strong evidence does not
 * overflow and strong counter-evidence does not vanish. `-Infinity` (e-value 0) is allowed.
 */
export function logMeanExp(logs: readonly number[]): number {
  let largest = -Infinity;
  for (const log of logs) if (log > largest) largest = log;
  if (largest === -Infinity || largest === Infinity) return largest;
  let sum = 0;
  for (const log of logs) sum += Math.exp(log - largest);
  return largest + Math.log(sum / logs.length);
}

/**
 * Log e-value about the *ratio* of the arms' bad-event rates, given only the bad events and how traffic was split.
 *
 * When the candidate's rate is r times the champion's, a bad event is the candidate's with probability
 * θ(r) = w·r / (w·r + 1 − w), whatever the champion's rate is and however it wanders through the day. Each
 * alternative r contributes Π θ(r)^x (1−θ(r))^(n−x) / the same under `nullRatio`, over all segments, and the
 * alternatives are averaged *after* the product, so that what was learnt in one segment counts in the next.
 *
 * Alternatives above `nullRatio` test H0 "ratio ≤ nullRatio", alternatives below it H0 "ratio ≥ nullRatio"; mixing
 * both sides would test neither and is refused. Per request the factor has mean 1 + w·p·(A−1) + (1−w)·q·(B−1), at
 * most 1 under the null. In a shadow one request can add a bad event to both arms; the mean then gains
 * P(both bad)·(A−1)(B−1), which is negative, so mirrored (dependent) answers only make the test more cautious.
 *
 * θ_k/θ_0 and (1−θ_k)/(1−θ_0) are not computed from θ: with w = 1e-4 or r = 20 their difference would lose digits
 * that thousands of events then multiply. Both equal a ratio of r over one common factor, taken by `log1p`.
 *
 * A share of 0 or 1 has nothing to compare and adds nothing (a bad event on the arm that should have had no traffic
 * is a sample-ratio mismatch, see `sample-ratio.ts`).
 */
export function ratioLogE(
  events: readonly BadEvents[],
  nullRatio: number,
  alternatives: readonly number[],
): number {
  requireOneSided('ratio', nullRatio, alternatives);
  const logs = alternatives.map((ratio) => {
    let log = 0;
    for (const { share, candidateBad, championBad } of events) {
      if (share === 0 || share === 1) continue;
      const common = Math.log1p((share * (ratio - nullRatio)) / (share * nullRatio + 1 - share));
      log += xlog(candidateBad, Math.log(ratio / nullRatio)) - (candidateBad + championBad) * common;
    }
    return log;
  });
  return logMeanExp(logs);
}

/**
 * Log e-value about one arm's bad-event *rate*: the mean over `alternatives` p of
 * (p/q)^bad · ((1−p)/(1−q))^(trials−bad) with q = `nullRate`. Alternatives above q test H0 "rate ≤ q", below it H0
 * "rate ≥ q". An alternative of 0 is the best bet for an arm that never fails, and is out with the first bad event.
 */
export function binomialLogE(
  trials: number,
  bad: number,
  nullRate: number,
  alternatives: readonly number[],
): number {
  if (!(nullRate > 0 && nullRate < 1)) {
    throw new SlipwayError(
      'INVALID_PARAMETER',
      `a rate to test against must be between 0 and 1, not ${nullRate}`,
    );
  }
  requireOneSided('rate', nullRate, alternatives);
  const logs = alternatives.map((rate) => {
    if (rate >= 1)
      throw new SlipwayError('INVALID_PARAMETER', `an alternative rate must be below 1, not ${rate}`);
    return (
      xlog(bad, Math.log(rate / nullRate)) + (trials - bad) * Math.log1p((nullRate - rate) / (1 - nullRate))
    );
  });
  return logMeanExp(logs);
}

/** x·log, with 0·log(0) = 0: an alternative that says "never" is not refuted by nothing happening. */
function xlog(count: number, log: number): number {
  return count === 0 ? 0 : count * log;
}

function requireOneSided(what: string, bound: number, alternatives: readonly number[]): void {
  const above = alternatives.every((value) => value > bound && value < Infinity);
  const below = alternatives.every((value) => value < bound && value >= 0);
  if (alternatives.length === 0 || above === below || !(bound > 0)) {
    throw new SlipwayError(
      'INVALID_PARAMETER',
      `the alternatives of a ${what} test must all lie on one side of its bound ${bound}: ${alternatives.join(', ')}`,
    );
  }
}

/**
 * Always-valid confidence sequences for the mean of rewards in [0, 1]: with probability at least 1 − α the interval
 * contains the mean at *every* look, so looking each second costs nothing.
 *
 * Each is {m : E_m < 1/α}, where E_m is an e-process under "the mean is m" (Ville). Both are functions of counts
 * alone (rewards, their sum, their squares' sum): neither the order of rewards nor the gateway that counted them
 * matters, which a betting strategy that learns from order could not offer, and a stored result can be recomputed.
 *
 * - Likelihood: B(½ + S, ½ + n − S) / B(½, ½) / (m^S (1−m)^(n−S)), Jeffreys' mixture (Robbins 1970). For conversions
 *   it is the likelihood ratio itself. It also holds for fractional rewards: x ↦ A^x B^(1−x) is convex, so it lies
 *   below its chord, and the factor's mean is at most 1. There it can't profit from a small variance.
 * - Empirical Bernstein (Fan, Grama & Liu 2015; Howard et al. 2021; Waudby-Smith & Ramdas 2024):
 *   exp(λΣ(x−m) − (−ln(1−λ) − λ)Σ(x−m)²) for 0 ≤ λ < 1, averaged over λ and, by x ↦ 1 − x, over both directions.
 *   For rewards both are averaged.
 *
 * Assumed: rewards are independent of each other given the arm, with one mean. For the *comparison* of arms, whose
 * means may wander together through the day, see `difference.ts`.
 */
import { SlipwayError } from '../errors.ts';
import { logMeanExp } from '../rollout/e-process.ts';

/** Rewards of one arm, added up. For conversions `sum` equals `sumSquares`. */
export interface RewardTotals {
  readonly rewards: number;
  readonly sum: number;
  readonly sumSquares: number;
}

export interface Interval {
  readonly lower: number;
  readonly upper: number;
}

export const NO_REWARDS: RewardTotals = { rewards: 0, sum: 0, sumSquares: 0 };

export function addReward(totals: RewardTotals, reward: number): RewardTotals {
  return {
    rewards: totals.rewards + 1,
    sum: totals.sum + reward,
    sumSquares: totals.sumSquares + reward * reward,
  };
}

export function addTotals(a: RewardTotals, b: RewardTotals): RewardTotals {
  return {
    rewards: a.rewards + b.rewards,
    sum: a.sum + b.sum,
    sumSquares: a.sumSquares + b.sumSquares,
  };
}

/**
 * Stakes λ with their price ψ(λ) = −ln(1−λ) − λ. Halving leaves no stake more than √2 from the best one (at most
 * 17 % of its exponent), down to what suits 10^9 rewards. Above 0.5 the bound would no longer fall with the mean.
 */
export const STAKES: readonly { readonly stake: number; readonly price: number }[] = Array.from(
  { length: 14 },
  (_, index) => {
    const stake = 0.5 * 2 ** -index;
    return { stake, price: -Math.log1p(-stake) - stake };
  },
);

/**
 * The confidence sequence at 1 − `alpha` for these totals; [0, 1] without rewards.
 * @throws SlipwayError `INVALID_PARAMETER` for totals that no rewards in [0, 1] can have.
 */
export function meanInterval(metric: 'conversion' | 'reward', totals: RewardTotals, alpha: number): Interval {
  requireTotals(totals);
  requireAlpha(alpha);
  if (totals.rewards === 0) return { lower: 0, upper: 1 };
  const needed = Math.log(1 / alpha);
  const logE = (mean: number): number => meanLogE(metric, totals, mean);
  const centre = Math.min(1, Math.max(0, totals.sum / totals.rewards));
  return {
    lower: centre === 0 ? 0 : crossing(logE, centre, 0, needed),
    upper: centre === 1 ? 1 : crossing(logE, centre, 1, needed),
  };
}

/** Log e-value against "the mean is `mean`". */
export function meanLogE(metric: 'conversion' | 'reward', totals: RewardTotals, mean: number): number {
  const likelihood = likelihoodLogE(totals, mean);
  if (metric === 'conversion') return likelihood;
  const { rewards, sum, sumSquares } = totals;
  const off = sum - rewards * mean;
  const spread = Math.max(0, sumSquares - 2 * mean * sum + rewards * mean * mean);
  const bernstein = logMeanExp(
    STAKES.flatMap(({ stake, price }) => [stake * off - price * spread, -stake * off - price * spread]),
  );
  return logMeanExp([likelihood, bernstein]);
}

/** n·KL(S/n ‖ m) less a price for not knowing the mean, which does not depend on m. */
function likelihoodLogE({ rewards, sum }: RewardTotals, mean: number): number {
  const rest = Math.max(0, rewards - sum);
  return (
    part(sum, mean * rewards) +
    part(rest, (1 - mean) * rewards) +
    logGammaHalf(sum) +
    logGammaHalf(rest) -
    logGammaOne(rewards) -
    Math.log(Math.PI)
  );
}

/** x·ln(x/expected): infinite where something happened that could not. */
function part(count: number, expected: number): number {
  return count === 0 ? 0 : count * Math.log(count / expected);
}

/** ln Γ(z + ½) − z ln z + z. The large terms cancel on paper, so that ten million rewards cost no digits. */
function logGammaHalf(z: number): number {
  if (z >= 12) {
    const square = 1 / (z * z);
    const series = 1 / 24 - square * (7 / 2880 - square * (31 / 40_320 - square * (127 / 215_040)));
    return 0.5 * Math.log(2 * Math.PI) - series / z;
  }
  let shifted = z;
  let product = 0;
  for (; shifted < 12; shifted += 1) product += Math.log(shifted + 0.5);
  const own = z === 0 ? 0 : z * Math.log(z);
  return logGammaHalf(shifted) + shifted * Math.log(shifted) - shifted - product - own + z;
}

/** ln Γ(n + 1) − n ln n + n. */
function logGammaOne(n: number): number {
  if (n >= 12) {
    const square = 1 / (n * n);
    const series = 1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680)));
    return 0.5 * Math.log(2 * Math.PI * n) + series / n;
  }
  let log = 0;
  for (let factor = 2; factor <= n; factor += 1) log += Math.log(factor);
  return log - n * Math.log(n) + n;
}

/**
 * Where `logE` reaches `needed` on the way from `inside` (below it) to `outside`; `outside` when it never does. Sixty
 * halvings are exact to the last bits, and the result is the outer end of the last bracket: never too narrow.
 */
export function crossing(
  logE: (value: number) => number,
  inside: number,
  outside: number,
  needed: number,
): number {
  if (logE(outside) < needed) return outside;
  let near = inside;
  let far = outside;
  for (let step = 0; step < 60; step += 1) {
    const middle = (near + far) / 2;
    if (logE(middle) < needed) near = middle;
    else far = middle;
  }
  return far;
}

export function requireAlpha(alpha: number): void {
  if (!(alpha > 0 && alpha < 1)) {
    throw new SlipwayError('INVALID_PARAMETER', `alpha must be between 0 and 1, not ${alpha}`);
  }
}

/** Sums of floating-point rewards may be off by rounding, not by more. */
export function requireTotals({ rewards, sum, sumSquares }: RewardTotals): void {
  const slack = 1e-9 * Math.max(1, rewards);
  const possible =
    Number.isInteger(rewards) &&
    rewards >= 0 &&
    sum >= -slack &&
    sum <= rewards + slack &&
    sumSquares <= sum + slack &&
    sumSquares * rewards >= sum * sum - slack * Math.max(1, rewards);
  if (!possible) {
    throw new SlipwayError(
      'INVALID_PARAMETER',
      `${rewards} rewards in [0, 1] cannot have the sum ${sum} and the sum of squares ${sumSquares}`,
    );
  }
}

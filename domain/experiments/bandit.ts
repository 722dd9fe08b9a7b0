/**
 * Bandits that move traffic between arms by their rewards: discounted Thompson sampling, ε-greedy, discounted UCB1.
 * (LinUCB decides per request, see `lin-ucb.ts`.)
 *
 * Time is counted in decisions, not seconds. A reward weighs γ^(age of its decision), whenever it arrives. Were it
 * discounted from its arrival instead, rewards that come late would weigh more than early ones of the same requests,
 * so an arm whose failures show later than its successes would look better than it is. This way the successes and
 * failures of one decision keep the same weight, and delay costs certainty, not truth.
 *
 * The decision clock is the number of decisions before the snapshot that was in force: gateways log the snapshot's
 * version, so it needs no counter shared between gateways. Shares are constant within a snapshot; the share in force
 * *is* the propensity. Ages count from the youngest decision that has a reward (the frontier), not from now: what is
 * under way says nothing about how old the rest has become.
 *
 * States are plain JSON and are never changed in place.
 */
import { SlipwayError } from '../errors.ts';
import { bestArmProbabilities } from './best-arm.ts';
import type { SharePolicy } from './experiment-spec.ts';
import type { Shares, SharesAt } from './shares.ts';
import { evenShares, moveShares, rememberShares, withFloor } from './shares.ts';

/** The short memory's γ is the long one's to this power. */
const SHORTER = 5;
/** Standard deviations between the two memories that are no accident: 6 in 100,000 at one look. */
const CONTRADICTION = 4;
/** Effective rewards in the short memory below which a normal approximation is not to be trusted. */
const MIN_RECENT = 200;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Rewards of one arm, discounted to the state's frontier. */
export interface Discounted {
  /** Σ w: the weighted count of rewards. */
  readonly weight: number;
  /** Σ w². */
  readonly weightSquares: number;
  /** Σ w · reward. */
  readonly sum: number;
}

const NOTHING: Discounted = { weight: 0, weightSquares: 0, sum: 0 };

export interface ArmStatistics {
  /** With the policy's γ: what decides. */
  readonly long: Discounted;
  /** With a fifth of that memory: what contradicts the long one when the arm has changed. */
  readonly short: Discounted;
  /** How often the long memory was given up for the short one. */
  readonly changes: number;
}

export interface BanditState {
  /** Of this JSON. */
  readonly format: 1;
  /** Of the shares: a prediction's log names it, and so its propensity and clock. */
  readonly version: number;
  /** Decisions before this snapshot. */
  readonly clock: number;
  /** Clock of the youngest decision that has a reward. */
  readonly frontier: number;
  readonly arms: readonly ArmStatistics[];
  /** In force since this version. */
  readonly shares: Shares;
  readonly recent: readonly SharesAt[];
}

export interface BanditReward {
  /** Index of the arm. */
  readonly arm: number;
  /** In [0, 1]. */
  readonly reward: number;
  /** `clock` of the snapshot that made the decision. */
  readonly clock: number;
}

/** Even shares; nothing known. */
export function startBandit(arms: number, nowMs: number): BanditState {
  const shares = evenShares(arms);
  return {
    format: 1,
    version: 1,
    clock: 0,
    frontier: 0,
    arms: Array.from({ length: arms }, () => ({ long: NOTHING, short: NOTHING, changes: 0 })),
    shares,
    recent: [{ atMs: nowMs, shares }],
  };
}

/**
 * Adds rewards (each prediction's once; see `reward-join.ts`).
 * @throws SlipwayError `REWARD_REFUSED` for an unknown arm, a reward outside [0, 1] or a decision of the future.
 */
export function updateBandit(
  state: BanditState,
  policy: SharePolicy,
  rewards: readonly BanditReward[],
): BanditState {
  const frontier = rewards.reduce((latest, { clock }) => Math.max(latest, clock), state.frontier);
  const passed = frontier - state.frontier;
  const long = state.arms.map((arm) => decayed(arm.long, policy.gamma ** passed));
  const short = state.arms.map((arm) => decayed(arm.short, policy.gamma ** (SHORTER * passed)));
  for (const { arm, reward, clock } of rewards) {
    requireReward(state, arm, reward, clock);
    const weight = policy.gamma ** (frontier - clock);
    addTo(long[arm] as Mutable<Discounted>, weight, reward);
    addTo(short[arm] as Mutable<Discounted>, weight ** SHORTER, reward);
  }
  const arms = state.arms.map(({ changes }, arm) =>
    withoutStaleMemory(long[arm] as Discounted, short[arm] as Discounted, changes),
  );
  return { ...state, frontier, arms };
}

function requireReward({ arms, clock }: BanditState, arm: number, reward: number, decided: number): void {
  if (!(Number.isInteger(arm) && arm >= 0 && arm < arms.length)) {
    throw new SlipwayError('REWARD_REFUSED', `there is no arm ${arm}`);
  }
  if (!(reward >= 0 && reward <= 1)) {
    throw new SlipwayError('REWARD_REFUSED', `a reward must be between 0 and 1, not ${reward}`);
  }
  if (!(decided >= 0 && decided <= clock)) {
    throw new SlipwayError('REWARD_REFUSED', `a decision at clock ${decided} is not before ${clock}`);
  }
}

function decayed({ weight, weightSquares, sum }: Discounted, decay: number): Mutable<Discounted> {
  return { weight: weight * decay, weightSquares: weightSquares * decay * decay, sum: sum * decay };
}

function addTo(memory: Mutable<Discounted>, weight: number, reward: number): void {
  memory.weight += weight;
  memory.weightSquares += weight * weight;
  memory.sum += weight * reward;
}

/**
 * Discounting alone needs as long to forget the past of an arm as it took to learn it: after a drop from 12 to 9 % the
 * long memory believes in more than 10 % for 11,000 rewards. The two memories contradicted each other after 3,600 (median
 * of 200 simulated drops; 34 were never noticed, and discounting did its work). The variance is that of a conversion,
 * which no reward in [0, 1] of this mean exceeds. A false alarm costs certainty, and leaves a mean that is off by
 * chance until new rewards correct it: the wider posterior explores for them.
 */
function withoutStaleMemory(long: Discounted, short: Discounted, changes: number): ArmStatistics {
  const recent = effectiveCount(short);
  const whole = effectiveCount(long);
  if (recent < MIN_RECENT || whole <= recent) return { long, short, changes };
  const expected = long.sum / long.weight;
  // The short memory is part of the long one, hence the minus.
  const variance = expected * (1 - expected) * (1 / recent - 1 / whole);
  const off = short.sum / short.weight - expected;
  if (off * off <= CONTRADICTION * CONTRADICTION * variance) return { long, short, changes };
  return { long: short, short, changes: changes + 1 };
}

/**
 * The next version of the shares, after `decisions` more decisions. Sums are discounted to the new clock here, so
 * nothing ever grows beyond 1 / (1 − γ), however long the experiment runs.
 */
export function snapshotBandit(
  state: BanditState,
  policy: SharePolicy,
  decisions: number,
  nowMs: number,
): BanditState {
  if (!(Number.isInteger(decisions) && decisions >= 0)) {
    throw new SlipwayError('INVALID_PARAMETER', `decisions must be a whole number, not ${decisions}`);
  }
  const target = targetShares(state.arms, policy);
  const shares = moveShares(state.recent, target, nowMs, policy.stepBp);
  return {
    ...state,
    version: state.version + 1,
    clock: state.clock + decisions,
    shares,
    recent: rememberShares(state.recent, shares, nowMs),
  };
}

/** Where the policy wants the shares, before the limit on moves. */
export function targetShares(arms: readonly ArmStatistics[], policy: SharePolicy): Shares {
  switch (policy.algorithm) {
    case 'discounted-thompson':
      return withFloor(bestArmProbabilities(arms.map(({ long }) => posterior(long))), policy.floor);
    case 'epsilon-greedy':
      return withFloor(winner(arms.map(({ long }) => mean(long))), policy.epsilon);
    case 'ucb':
      return withFloor(winner(upperBounds(arms.map(({ long }) => long))), policy.floor);
    default:
      throw new SlipwayError('INVALID_PARAMETER', `unknown policy ${JSON.stringify(policy satisfies never)}`);
  }
}

/**
 * Uniform prior, with Kish's effective count (Σw)²/Σw²: that is what the variance of a weighted mean follows. Σw itself
 * would claim half the evidence that is there (10,000 instead of 20,000 at γ = 0.9999) and explore for it for ever.
 * Fractional rewards count as fractions of a success: a posterior wider than needed, never narrower.
 */
export function posterior(arm: Discounted): { readonly a: number; readonly b: number } {
  if (arm.weight === 0) return { a: 1, b: 1 };
  const count = effectiveCount(arm);
  const mean = Math.min(1, arm.sum / arm.weight);
  return { a: 1 + count * mean, b: 1 + count * (1 - mean) };
}

function effectiveCount({ weight, weightSquares }: Discounted): number {
  return weight === 0 ? 0 : (weight * weight) / weightSquares;
}

/** ½ for an arm without rewards, so that a new arm is neither out nor in by default. */
function mean({ weight, sum }: Discounted): number {
  return (sum + 0.5) / (weight + 1);
}

/**
 * Discounted UCB1 (Garivier & Moulines 2011) with the variance of UCB1-Tuned (Auer et al. 2002), without which an arm at
 * 10 % would be explored as if it were at 50 %. Infinite for an arm without rewards.
 */
function upperBounds(arms: readonly Discounted[]): readonly number[] {
  const all = arms.reduce((sum, arm) => sum + effectiveCount(arm), 0);
  return arms.map((arm) => {
    const count = effectiveCount(arm);
    if (count === 0) return Infinity;
    const mean = Math.min(1, arm.sum / arm.weight);
    const log = Math.log(Math.max(1, all)) / count;
    return mean + Math.sqrt(log * Math.min(0.25, mean * (1 - mean) + Math.sqrt(2 * log)));
  });
}

/** All to the highest; equal ones share. */
function winner(scores: readonly number[]): readonly number[] {
  const highest = Math.max(...scores);
  const ties = scores.filter((score) => score === highest).length;
  return scores.map((score) => (score === highest ? 1 / ties : 0));
}

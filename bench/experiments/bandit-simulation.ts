/**
 * A bandit in fast motion: requests one by one, a conversion or none for each, each reward known `delay` requests later,
 * a snapshot every five seconds of requests. Lost conversions are expected ones (the best arm's rate less that of the
 * arm chosen), so luck in the draws doesn't count.
 */
import { EXPERIMENT_DEFAULTS } from '../../domain/experiments/experiment-spec.ts';
import type { SharePolicy } from '../../domain/experiments/experiment-spec.ts';
import type { BanditReward } from '../../domain/experiments/bandit.ts';
import { snapshotBandit, startBandit, updateBandit } from '../../domain/experiments/bandit.ts';
import type { SharesAt } from '../../domain/experiments/shares.ts';
import { evenShares, moveShares, rememberShares, withFloor } from '../../domain/experiments/shares.ts';
import { createRng } from '../../test/support/rng.ts';

type ThompsonPolicy = Extract<SharePolicy, { floor: number }>;

export interface BanditScenario {
  readonly requests: number;
  readonly requestsPerSecond: number;
  /** Requests between a decision and its reward. */
  readonly delay: number;
  /** Conversion rates before and after the middle of the run. */
  readonly before: readonly number[];
  readonly after: readonly number[];
}

const SNAPSHOT_SECONDS = 5;

/**
 * The best of three arms becomes the worst in the middle of the run. At ten requests a second the rewards come 17
 * minutes late and a share needs 8.5 minutes (5,100 requests) from floor to ceiling.
 */
export const FLIP: BanditScenario = {
  requests: 100_000,
  requestsPerSecond: 10,
  delay: 10_000,
  before: [0.1, 0.12, 0.09],
  after: [0.1, 0.09, 0.12],
};

/** The defaults of the product. */
export const THOMPSON: ThompsonPolicy = {
  kind: 'bandit',
  algorithm: 'discounted-thompson',
  gamma: EXPERIMENT_DEFAULTS.gamma,
  floor: EXPERIMENT_DEFAULTS.floor,
  stepBp: EXPERIMENT_DEFAULTS.stepBp,
};

/** As it is commonly run: all rewards weigh the same, shares jump. */
export const PLAIN_EPSILON_GREEDY: SharePolicy = {
  kind: 'bandit',
  algorithm: 'epsilon-greedy',
  gamma: 1,
  epsilon: 0.1,
  stepBp: 10_000,
};

/** Conversions lost against always choosing the best arm. */
export function lostConversions(policy: SharePolicy, scenario: BanditScenario, seed: number): number {
  const { requests, requestsPerSecond, delay, before, after } = scenario;
  const rng = createRng(seed);
  const arms = new Uint8Array(requests);
  const rewards = new Uint8Array(requests);
  const clocks = new Float64Array(requests);
  let state = startBandit(before.length, 0);
  let lost = 0;
  let joined = 0;
  const every = Math.max(1, Math.round(requestsPerSecond * SNAPSHOT_SECONDS));
  for (let start = 0; start < requests; start += every) {
    if (start > 0) state = snapshotBandit(state, policy, every, (start / requestsPerSecond) * 1000);
    const rates = start < requests / 2 ? before : after;
    const best = Math.max(...rates);
    const end = Math.min(requests, start + every);
    for (let request = start; request < end; request += 1) {
      const arm = draw(state.shares, rng.integer(10_000));
      arms[request] = arm;
      rewards[request] = rng.chance(rates[arm] as number) ? 1 : 0;
      clocks[request] = state.clock;
      lost += best - (rates[arm] as number);
    }
    const known: BanditReward[] = [];
    for (; joined < end - delay; joined += 1) {
      known.push({
        arm: arms[joined] as number,
        reward: rewards[joined] as number,
        clock: clocks[joined] as number,
      });
    }
    if (known.length > 0) state = updateBandit(state, policy, known);
  }
  return lost;
}

function draw(shares: readonly number[], bucket: number): number {
  let arm = 0;
  for (let left = bucket - (shares[0] as number); left >= 0; left -= shares[arm] as number) arm += 1;
  return arm;
}

export function meanLost(policy: SharePolicy, scenario: BanditScenario, seeds: number): number {
  let sum = 0;
  for (let seed = 1; seed <= seeds; seed += 1) sum += lostConversions(policy, scenario, seed);
  return sum / seeds;
}

/**
 * What the floor and the limit on moves cost alone: a bandit that is *told* the best arm as soon as the first reward of
 * the present rates is there. No algorithm under the same limits can be expected to lose less.
 */
export function lostByOracle(policy: ThompsonPolicy, scenario: BanditScenario): number {
  const { requests, requestsPerSecond, delay, before, after } = scenario;
  const every = Math.max(1, Math.round(requestsPerSecond * SNAPSHOT_SECONDS));
  let shares = evenShares(before.length);
  let recent: readonly SharesAt[] = [{ atMs: 0, shares }];
  let lost = 0;
  for (let start = 0; start < requests; start += every) {
    const rates = start < requests / 2 ? before : after;
    const best = Math.max(...rates);
    const known = start - delay < requests / 2 ? before : after;
    if (start >= delay) {
      const highest = known.indexOf(Math.max(...known));
      const target = withFloor(
        known.map((_, arm) => (arm === highest ? 1 : 0)),
        policy.floor,
      );
      const nowMs = (start / requestsPerSecond) * 1000;
      shares = moveShares(recent, target, nowMs, policy.stepBp);
      recent = rememberShares(recent, shares, nowMs);
    }
    const each = shares.reduce(
      (sum, share, arm) => sum + (share / 10_000) * (best - (rates[arm] as number)),
      0,
    );
    lost += each * Math.min(every, requests - start);
  }
  return lost;
}

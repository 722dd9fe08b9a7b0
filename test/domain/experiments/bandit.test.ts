import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';
import {
  FLIP,
  lostByOracle,
  meanLost,
  PLAIN_EPSILON_GREEDY,
  THOMPSON,
} from '../../../bench/experiments/bandit-simulation.ts';
import type { BanditReward, BanditState } from '../../../domain/experiments/bandit.ts';
import { posterior, snapshotBandit, startBandit, updateBandit } from '../../../domain/experiments/bandit.ts';
import { bestArmProbabilities } from '../../../domain/experiments/best-arm.ts';
import type { SharePolicy } from '../../../domain/experiments/experiment-spec.ts';
import { createRng } from '../../support/rng.ts';

const POLICIES: readonly SharePolicy[] = [
  THOMPSON,
  { ...THOMPSON, algorithm: 'ucb' },
  { kind: 'bandit', algorithm: 'epsilon-greedy', gamma: 0.999, epsilon: 0.1, stepBp: 1000 },
];

describe('bandit: the best arm becomes the worst, rewards 10,000 requests late, moves limited', () => {
  // 100,000 requests at 10/s, a snapshot each 5 s, 10 points a minute, 5 % floor, γ 0.9999: the defaults.
  it('discounted Thompson sampling loses at most 800 conversions where plain ε-greedy loses about 1,700', function () {
    this.timeout(30_000);
    const ours = meanLost(THOMPSON, FLIP, 8);
    const plain = meanLost(PLAIN_EPSILON_GREEDY, FLIP, 8);
    assert.ok(ours <= 800, `${ours}`);
    assert.ok(plain > 1600 && plain < 1800, `${plain}`);
  });

  it('at 100 requests/s the limit on moves alone costs more than 1,400, whoever decides', () => {
    assert.ok(lostByOracle(THOMPSON, { ...FLIP, requestsPerSecond: 100 }) > 1400);
    assert.ok(lostByOracle(THOMPSON, FLIP) < 650);
  });
});

describe('bandit: shares', () => {
  interface Step {
    readonly pauseMs: number;
    readonly decisions: number;
    readonly favoured: number;
  }
  const steps = fc.array(
    fc.record({
      pauseMs: fc.integer({ min: 1, max: 40_000 }),
      decisions: fc.nat(2000),
      favoured: fc.nat(9),
    }) as fc.Arbitrary<Step>,
    { minLength: 1, maxLength: 40 },
  );

  it('add up to 10,000, keep the floor, and move at most 10 points within any minute', () => {
    const property = fc.property(
      fc.constantFrom(...POLICIES),
      fc.integer({ min: 2, max: 10 }),
      steps,
      (policy, arms, all) => {
        let nowMs = 0;
        let state = startBandit(arms, nowMs);
        const history = [{ atMs: 0, shares: state.shares }];
        const least = Math.floor(
          ((policy.algorithm === 'epsilon-greedy' ? policy.epsilon : policy.floor) * 10_000) / arms,
        );
        for (const { pauseMs, decisions, favoured } of all) {
          const clock = state.clock;
          const rewards = Array.from({ length: 50 * arms }, (_, index): BanditReward => {
            const arm = index % arms;
            return { arm, reward: arm === favoured % arms ? 1 : 0, clock };
          });
          nowMs += pauseMs;
          state = snapshotBandit(updateBandit(state, policy, rewards), policy, decisions, nowMs);
          assert.equal(
            state.shares.reduce((sum, share) => sum + share, 0),
            10_000,
          );
          assert.ok(state.shares.every((share) => Number.isInteger(share) && share >= least));
          history.forEach((past, index) => {
            const until = history[index + 1]?.atMs ?? nowMs;
            if (until <= nowMs - 60_000) return;
            state.shares.forEach((share, arm) => {
              assert.ok(
                Math.abs(share - (past.shares[arm] as number)) <= 1000,
                'moved too far within a minute',
              );
            });
          });
          history.push({ atMs: nowMs, shares: state.shares });
        }
      },
    );
    fc.assert(property, { numRuns: 60 });
  });

  it('reach their target when there is time', () => {
    let state = startBandit(3, 0);
    const rewards = Array.from({ length: 3000 }, (_, index): BanditReward => {
      return { arm: index % 3, reward: index % 3 === 1 ? 1 : 0, clock: 0 };
    });
    state = updateBandit(state, THOMPSON, rewards);
    for (let minute = 1; minute <= 8; minute += 1)
      state = snapshotBandit(state, THOMPSON, 0, minute * 60_000);
    assert.deepEqual(state.shares, [167, 9666, 167]);
  });

  it('without any reward stay even under every policy', () => {
    for (const policy of POLICIES) {
      const { shares, version } = snapshotBandit(startBandit(4, 0), policy, 1000, 60_000);
      assert.deepEqual(shares, [2500, 2500, 2500, 2500]);
      assert.equal(version, 2);
    }
  });
});

describe('bandit: state', () => {
  const advance = (state: BanditState, decisions: number): BanditState =>
    snapshotBandit(state, THOMPSON, decisions, state.clock + decisions);

  it('a reward weighs by the age of its decision, whenever it arrives', () => {
    let early = startBandit(2, 0);
    let late = startBandit(2, 0);
    const old: BanditReward = { arm: 0, reward: 1, clock: 0 };
    early = updateBandit(early, THOMPSON, [old]);
    early = advance(early, 5000);
    late = advance(late, 5000);
    const young: BanditReward = { arm: 0, reward: 0, clock: 5000 };
    early = updateBandit(early, THOMPSON, [young]);
    late = updateBandit(updateBandit(late, THOMPSON, [young]), THOMPSON, [old]);
    for (const name of ['weight', 'weightSquares', 'sum'] as const) {
      const [a, b] = [early.arms[0]?.long[name] as number, late.arms[0]?.long[name] as number];
      assert.ok(Math.abs(a - b) < 1e-12, `${name}: ${a} and ${b}`);
    }
  });

  it('an arm whose failures show 20,000 requests after its successes does not look better for it', () => {
    const rng = createRng(3);
    let state = startBandit(2, 0);
    const pending: BanditReward[][] = [];
    for (let block = 0; block < 200; block += 1) {
      const successes: BanditReward[] = [];
      const failures: BanditReward[] = [];
      for (let request = 0; request < 1000; request += 1) {
        const reward = rng.chance(0.3) ? 1 : 0;
        (reward === 1 ? successes : failures).push({ arm: 0, reward, clock: state.clock });
      }
      pending.push(failures);
      state = updateBandit(state, THOMPSON, [...successes, ...(pending[block - 20] ?? [])]);
      state = advance(state, 1000);
    }
    // Of the last 20,000 decisions only the successes are known; when their failures are there too, the mean is right.
    state = updateBandit(state, THOMPSON, pending.slice(-20).flat());
    const { long } = state.arms[0] as BanditState['arms'][number];
    assert.ok(Math.abs(long.sum / long.weight - 0.3) < 0.01, `${long.sum / long.weight}`);
  });

  it('remembers no more than 1 / (1 − γ) rewards, however long it runs', () => {
    let state = startBandit(2, 0);
    for (let block = 0; block < 3000; block += 1) {
      state = updateBandit(
        state,
        THOMPSON,
        Array.from({ length: 1000 }, () => ({ arm: 0, reward: 0.5, clock: state.clock })),
      );
      state = advance(state, 1000);
    }
    const { long, short } = state.arms[0] as BanditState['arms'][number];
    assert.ok(long.weight > 9400 && long.weight < 10_600, `${long.weight}`);
    assert.ok(short.weight < long.weight && Number.isFinite(posterior(long).a));
    const kish = long.weight ** 2 / long.weightSquares;
    assert.ok(kish > 19_000 && kish < 21_000, `${kish}`);
  });

  it('an arm that drops from 12 to 9 % gives up its old memory; a steady one keeps it', () => {
    const changesOf = (after: number, seed: number): number => {
      const rng = createRng(seed);
      let state = startBandit(2, 0);
      for (let block = 0; block < 600; block += 1) {
        const rate = block < 300 ? 0.12 : after;
        const rewards = Array.from({ length: 100 }, () => ({
          arm: 0,
          reward: rng.chance(rate) ? 1 : 0,
          clock: state.clock,
        }));
        state = advance(updateBandit(state, THOMPSON, rewards), 100);
      }
      return state.arms[0]?.changes as number;
    };
    let steady = 0;
    for (let seed = 1; seed <= 20; seed += 1) {
      assert.ok(changesOf(0.06, seed) >= 1);
      steady += changesOf(0.12, seed);
    }
    assert.ok(steady <= 2, `${steady} false alarms in 20 runs of 60,000 rewards`);
  });

  it('survives JSON and is never changed in place', () => {
    const state = startBandit(3, 0);
    const text = JSON.stringify(state);
    const rewards = [{ arm: 2, reward: 0.25, clock: 0 }];
    const direct = snapshotBandit(updateBandit(state, THOMPSON, rewards), THOMPSON, 10, 5000);
    const parsed = JSON.parse(text) as BanditState;
    assert.deepEqual(snapshotBandit(updateBandit(parsed, THOMPSON, rewards), THOMPSON, 10, 5000), direct);
    assert.equal(JSON.stringify(state), text);
    assert.deepEqual(JSON.parse(JSON.stringify(direct)), direct);
  });

  it('refuses rewards of unknown arms, outside [0, 1], or of decisions yet to come', () => {
    for (const reward of [
      { arm: 3, reward: 1, clock: 0 },
      { arm: -1, reward: 1, clock: 0 },
      { arm: 0, reward: 1.1, clock: 0 },
      { arm: 0, reward: NaN, clock: 0 },
      { arm: 0, reward: 1, clock: 1 },
      { arm: 0, reward: 1, clock: NaN },
    ]) {
      assert.throws(() => updateBandit(startBandit(3, 0), THOMPSON, [reward]), { code: 'REWARD_REFUSED' });
    }
  });
});

describe('bandit: probability of being best', () => {
  it('is even among equals, exact for a case known in closed form, and stable at extremes', () => {
    bestArmProbabilities([
      { a: 3, b: 5 },
      { a: 3, b: 5 },
      { a: 3, b: 5 },
    ]).forEach((probability) => assert.ok(Math.abs(probability - 1 / 3) < 1e-9));
    // P(Beta(2,1) > Beta(1,1)) = ∫ 2x·x dx = 2/3.
    const [two] = bestArmProbabilities([
      { a: 2, b: 1 },
      { a: 1, b: 1 },
    ]) as [number, number];
    assert.ok(Math.abs(two - 2 / 3) < 1e-9, `${two}`);
    const far = bestArmProbabilities([
      { a: 1e9, b: 1e9 },
      { a: 1, b: 1e9 },
      { a: 1e9, b: 1 },
    ]);
    assert.deepEqual(far.map(Math.round), [0, 0, 1]);
    assert.ok(far.every(Number.isFinite));
  });

  it('adds up to 1 and rises with an arm’s successes', () => {
    const parameter = fc.double({ min: 1, max: 1e6, noNaN: true });
    const posteriors = fc.array(fc.record({ a: parameter, b: parameter }), { minLength: 2, maxLength: 10 });
    fc.assert(
      fc.property(posteriors, (all) => {
        const probabilities = bestArmProbabilities(all);
        assert.ok(Math.abs(probabilities.reduce((sum, one) => sum + one, 0) - 1) < 1e-9);
        const [first, ...rest] = all as [{ a: number; b: number }, ...{ a: number; b: number }[]];
        const raised = bestArmProbabilities([{ a: first.a * 1.1, b: first.b }, ...rest]);
        assert.ok((raised[0] as number) >= (probabilities[0] as number) - 1e-6);
      }),
      { numRuns: 100 },
    );
  });
});

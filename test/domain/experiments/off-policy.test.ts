import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { LoggedDecision } from '../../../domain/experiments/off-policy.ts';
import { evaluateOffPolicy, fixedShares } from '../../../domain/experiments/off-policy.ts';
import type { Rng } from '../../support/rng.ts';
import { createRng } from '../../support/rng.ts';

const RATES = [0.1, 0.3, 0.6];
const LOGGED = [0.7, 0.25, 0.05];

function log(rng: Rng, rows: number): readonly LoggedDecision[] {
  return Array.from({ length: rows }, () => {
    const uniform = rng.next();
    const arm = uniform < 0.7 ? 0 : uniform < 0.95 ? 1 : 2;
    return { arm, propensity: LOGGED[arm] as number, reward: rng.chance(RATES[arm] as number) ? 1 : 0 };
  });
}

describe('off-policy evaluation', () => {
  const target = fixedShares([2000, 2000, 6000]);
  const truth = 0.2 * 0.1 + 0.2 * 0.3 + 0.6 * 0.6;

  it('both estimators are centred on the truth, with intervals that cover it in about 95 % of runs', () => {
    const runs = 400;
    const sums = { ips: 0, snips: 0 };
    const covered = { ips: 0, snips: 0 };
    const squares = { ips: 0, snips: 0 };
    for (let seed = 1; seed <= runs; seed += 1) {
      const result = evaluateOffPolicy(log(createRng(seed), 1000), target);
      for (const name of ['ips', 'snips'] as const) {
        const { value, interval } = result[name];
        sums[name] += value;
        squares[name] += (value - truth) ** 2;
        if (interval.lower <= truth && truth <= interval.upper) covered[name] += 1;
      }
    }
    for (const name of ['ips', 'snips'] as const) {
      const error = Math.sqrt(squares[name] / runs);
      // Three standard errors of the mean of the runs.
      assert.ok(Math.abs(sums[name] / runs - truth) < (3 * error) / Math.sqrt(runs), name);
      assert.ok(covered[name] >= 0.91 * runs && covered[name] <= 0.99 * runs, `${name} ${covered[name]}`);
    }
    assert.ok(squares.snips < squares.ips, 'self-normalising must pay off here');
  });

  it('evaluating the policy that was logged gives its mean and as many effective rows', () => {
    const rows = log(createRng(9), 500);
    const result = evaluateOffPolicy(rows, ({ propensity }) => propensity);
    const mean = rows.reduce((sum, { reward }) => sum + reward, 0) / 500;
    assert.ok(Math.abs(result.ips.value - mean) < 1e-12 && Math.abs(result.snips.value - mean) < 1e-12);
    assert.ok(Math.abs(result.effectiveSampleSize - 500) < 1e-9);
  });

  it('agrees with a sum by hand, and counts what it clips', () => {
    const rows = [
      { arm: 0, propensity: 0.5, reward: 1 },
      { arm: 1, propensity: 0.1, reward: 0.5 },
      { arm: 0, propensity: 0.5, reward: 0 },
    ];
    // Weights 1, 5, 1.
    const result = evaluateOffPolicy(rows, fixedShares([5000, 5000]));
    assert.ok(Math.abs(result.ips.value - 3.5 / 3) < 1e-12);
    assert.ok(Math.abs(result.snips.value - 0.5) < 1e-12);
    assert.ok(Math.abs(result.effectiveSampleSize - 49 / 27) < 1e-12);
    assert.equal(result.clipped, 0);
    const clipped = evaluateOffPolicy(rows, fixedShares([5000, 5000]), 2);
    assert.equal(clipped.clipped, 1);
    assert.equal(clipped.largestWeight, 2);
    assert.ok(Math.abs(clipped.ips.value - 2 / 3) < 1e-12);
  });

  it('uses the context: a target that depends on it', () => {
    const rows = [0, 1].map((x) => ({ arm: x, propensity: 0.5, reward: 1, context: [x] }));
    const matching = evaluateOffPolicy(rows, ({ arm, context }) => (arm === context?.[0] ? 1 : 0));
    assert.equal(matching.ips.value, 2);
    assert.equal(matching.snips.value, 1);
  });

  it('refuses what it cannot weigh: a propensity of 0, above 1 or unknown, no rows, no overlap', () => {
    for (const propensity of [0, -0.1, 1.1, NaN]) {
      const rows = [{ arm: 0, propensity, reward: 1 }];
      assert.throws(() => evaluateOffPolicy(rows, () => 1), /propensity/);
    }
    assert.throws(() => evaluateOffPolicy([], () => 1), /nothing can be said/);
    assert.throws(() => evaluateOffPolicy(log(createRng(1), 10), () => 0), /nothing can be said/);
    assert.throws(() => evaluateOffPolicy(log(createRng(1), 10), () => 2), /probability/);
    assert.throws(() => evaluateOffPolicy(log(createRng(1), 10), () => 1, 0), /clip/);
  });
});

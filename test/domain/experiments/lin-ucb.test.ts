import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { LinUcbPolicy } from '../../../domain/experiments/experiment-spec.ts';
import type { LinUcbReward } from '../../../domain/experiments/lin-ucb.ts';
import {
  decideLinUcb,
  linUcbTable,
  snapshotLinUcb,
  startLinUcb,
  updateLinUcb,
} from '../../../domain/experiments/lin-ucb.ts';
import { invertPositiveDefinite } from '../../../domain/experiments/positive-definite.ts';
import { createRng } from '../../support/rng.ts';

const POLICY: LinUcbPolicy = {
  kind: 'bandit',
  algorithm: 'linucb',
  gamma: 0.9999,
  floor: 0.05,
  width: 1,
  ridge: 1,
  context: ['x'],
};

describe('LinUCB', () => {
  it('the inverse times the matrix is the identity', () => {
    const rng = createRng(1);
    for (let size = 1; size <= 12; size += 1) {
      const root = Array.from({ length: size * size }, () => rng.next() - 0.5);
      const matrix = Array.from({ length: size * size }, (_, at) => {
        const [i, j] = [Math.floor(at / size), at % size];
        let sum = i === j ? 0.1 : 0;
        for (let k = 0; k < size; k += 1)
          sum += (root[i * size + k] as number) * (root[j * size + k] as number);
        return sum;
      });
      const inverse = invertPositiveDefinite(matrix, size);
      for (let i = 0; i < size; i += 1) {
        for (let j = 0; j < size; j += 1) {
          let sum = 0;
          for (let k = 0; k < size; k += 1)
            sum += (matrix[i * size + k] as number) * (inverse[k * size + j] as number);
          assert.ok(Math.abs(sum - (i === j ? 1 : 0)) < 1e-9);
        }
      }
    }
    assert.throws(() => invertPositiveDefinite([1, 2, 2, 1], 2), /ridge/);
  });

  it('learns which arm suits which context, and recovers the coefficients', () => {
    const rng = createRng(2);
    // Arm 0 pays 0.2 + 0.5x, arm 1 pays 0.7 − 0.5x.
    let state = startLinUcb(2, POLICY);
    for (let block = 0; block < 40; block += 1) {
      const table = linUcbTable(state, POLICY);
      const rewards = Array.from({ length: 200 }, (): LinUcbReward => {
        const x = rng.next();
        const { arm } = decideLinUcb(table, [x], rng.next());
        return {
          arm,
          reward: rng.chance(arm === 0 ? 0.2 + 0.5 * x : 0.7 - 0.5 * x) ? 1 : 0,
          clock: state.clock,
          context: [x],
        };
      });
      state = snapshotLinUcb(updateLinUcb(state, POLICY, rewards), 200);
    }
    const table = linUcbTable(state, POLICY);
    assert.equal(decideLinUcb(table, [0.9], 0.5).arm, 0);
    assert.equal(decideLinUcb(table, [0.1], 0.5).arm, 1);
    const [first] = table.arms as [(typeof table.arms)[number], ...typeof table.arms];
    const [slope, intercept] = first.theta as [number, number];
    assert.ok(Math.abs(slope - 0.5) < 0.12 && Math.abs(intercept - 0.2) < 0.12, `${slope} ${intercept}`);
    assert.equal(state.version, 41);
    assert.deepEqual(JSON.parse(JSON.stringify(state)), state);
  });

  it('the propensity is exactly how often the arm is chosen over all draws', () => {
    const start = linUcbTable(startLinUcb(3, POLICY), POLICY);
    const rewards = [0, 1, 2].map((arm) => ({ arm, reward: arm / 2, clock: 0, context: [0.5] }));
    const trained = linUcbTable(updateLinUcb(startLinUcb(3, POLICY), POLICY, rewards), POLICY);
    const draws = 60_000;
    for (const [table, context] of [
      [start, [0.5]],
      [trained, [0.5]],
      [trained, [NaN]],
    ] as const) {
      const chosen = [0, 0, 0];
      const propensities = [0, 0, 0];
      for (let index = 0; index < draws; index += 1) {
        const { arm, propensity } = decideLinUcb(table, context, index / draws);
        chosen[arm] = (chosen[arm] as number) + 1;
        propensities[arm] = propensity;
      }
      assert.ok(Math.abs(propensities.reduce((sum, one) => sum + one, 0) - 1) < 1e-12);
      propensities.forEach((propensity, arm) => {
        assert.ok(Math.abs(propensity - (chosen[arm] as number) / draws) < 1e-4);
      });
    }
    assert.ok(Math.abs(decideLinUcb(trained, [0.5], 0.99).propensity - (0.95 + 0.05 / 3)) < 1e-12);
  });

  it('refuses rewards and contexts that do not fit', () => {
    const state = startLinUcb(2, POLICY);
    for (const wrong of [{ arm: 2 }, { reward: 2 }, { clock: 1 }, { context: [1, 2] }, { context: [NaN] }]) {
      const reward = { arm: 0, reward: 1, clock: 0, context: [1], ...wrong };
      assert.throws(() => updateLinUcb(state, POLICY, [reward]), { code: 'REWARD_REFUSED' });
    }
    assert.throws(() => decideLinUcb(linUcbTable(state, POLICY), [1, 2], 0.5), { code: 'INVALID_PARAMETER' });
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { createRng } from './rng.ts';

/** Mean and variance of 100,000 draws, each held to five standard errors of the true value. */
function assertMoments(draw: () => number, mean: number, variance: number): void {
  const n = 100_000;
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < n; i += 1) {
    const value = draw();
    sum += value;
    squares += (value - mean) ** 2;
  }
  assert.ok(Math.abs(sum / n - mean) < 5 * Math.sqrt(variance / n), `mean ${sum / n}, expected ${mean}`);
  // The fourth moment of these distributions is near 3·variance² + variance.
  const error = 5 * Math.sqrt((2 * variance ** 2 + variance) / n);
  assert.ok(Math.abs(squares / n - variance) < error, `variance ${squares / n}, expected ${variance}`);
}

describe('seeded randomness: simulations rest on it', () => {
  it('is the same for a seed, and another for the next', () => {
    const draw = (seed: number): number[] => {
      const rng = createRng(seed);
      return Array.from({ length: 5 }, () => rng.next());
    };
    assert.deepEqual(draw(7), draw(7));
    assert.notDeepEqual(draw(7), draw(8));
  });

  it('uniform, Poisson and binomial have their mean and variance', () => {
    const rng = createRng(1);
    assertMoments(() => rng.next() * Math.sqrt(12), Math.sqrt(3), 1);
    for (const mean of [0.002, 0.5, 7, 29.9, 31, 450]) assertMoments(() => rng.poisson(mean), mean, mean);
    for (const [n, p] of [
      [1, 0.5],
      [20, 0.005],
      [50, 0.3],
      [200, 0.9],
    ] as const) {
      assertMoments(() => rng.binomial(n, p), n * p, n * p * (1 - p));
    }
  });

  it('certain and impossible events', () => {
    const rng = createRng(1);
    assert.equal(rng.binomial(10, 1), 10);
    assert.equal(rng.binomial(10, 0), 0);
    assert.equal(rng.poisson(0), 0);
  });
});

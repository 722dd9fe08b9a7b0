import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';
import { CostModel } from '../../../serving/batching/cost-model.ts';
import type { CostSample } from '../../../serving/batching/cost-model.ts';
import { createRng } from '../../support/rng.ts';

const HALF_LIFE = 200;

/** Weighted least squares from the whole history at once, by centred moments, for a ≥ 0 and b ≥ 0. */
function leastSquares(samples: readonly CostSample[]): { a: number; b: number } {
  const weights = samples.map((_, index) => 0.5 ** ((samples.length - 1 - index) / HALF_LIFE));
  const mean = (of: (sample: CostSample) => number): number =>
    samples.reduce((sum, sample, i) => sum + weights[i]! * of(sample), 0) /
    weights.reduce((x, y) => x + y, 0);
  const meanRows = mean(({ rows }) => rows);
  const meanMs = mean(({ ms }) => ms);
  const free =
    mean(({ rows, ms }) => (rows - meanRows) * (ms - meanMs)) / mean(({ rows }) => (rows - meanRows) ** 2);
  const through = mean(({ rows, ms }) => rows * ms) / mean(({ rows }) => rows * rows);
  // The optimum is inside, or on the edge that is better.
  const candidates = [
    { a: free, b: meanMs - free * meanRows },
    { a: 0, b: meanMs },
    { a: through, b: 0 },
  ].filter(({ a, b }) => a >= 0 && b >= 0);
  const loss = ({ a, b }: { a: number; b: number }): number =>
    mean(({ rows, ms }) => (ms - a * rows - b) ** 2);
  return candidates.toSorted((one, other) => loss(one) - loss(other))[0]!;
}

function learn(samples: readonly CostSample[]): CostModel {
  const model = new CostModel();
  for (const { rows, ms } of samples) model.add(rows, ms);
  return model;
}

describe('cost model', () => {
  it('is the weighted least-squares line over all runs, with a half-life of 200 batches', () => {
    // Noise that is small beside the cost, so that no sample is far enough out to be held back.
    const run = fc.record({
      rows: fc.integer({ min: 1, max: 64 }),
      noise: fc.double({ min: -1, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(
        fc.array(run, { minLength: 10, maxLength: 600 }),
        fc.double({ min: 0.001, max: 0.5, noNaN: true }),
        fc.double({ min: 0.01, max: 5, noNaN: true }),
        (runs, a, b) => {
          fc.pre(new Set(runs.map(({ rows }) => rows)).size > 1);
          const samples = runs.map(({ rows, noise }) => ({ rows, ms: (a * rows + b) * (1 + 0.01 * noise) }));
          const [model, expected] = [learn(samples), leastSquares(samples)];
          assert.ok(Math.abs(model.runMs(1) - (expected.a + expected.b)) < 1e-6 * (a + b));
          assert.ok(Math.abs(model.runMs(64) - (64 * expected.a + expected.b)) < 1e-5 * (64 * a + b));
        },
      ),
      { numRuns: 200 },
    );
  });

  it('never makes a row or a run cheaper than nothing', () => {
    // Larger batches were faster, and larger ones dearer than in proportion: both free fits have a negative term.
    const falling = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((rows) => ({ rows, ms: 1.1 - 0.01 * rows }));
    const steep = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((rows) => ({
      rows,
      ms: Math.max(0.9 * rows, 1.2 * rows - 0.9),
    }));
    for (const samples of [falling, steep]) {
      const { a, b } = learn(samples);
      const expected = leastSquares(samples);
      assert.ok(a >= 0 && b >= 0 && Math.min(a, b) === 0);
      assert.ok(Math.abs(a - expected.a) < 0.05 && Math.abs(b - expected.b) < 0.05, `${a} ${b}`);
    }
  });

  it('says nothing about rows before there were eight runs of two sizes', () => {
    const model = learn(Array.from({ length: 20 }, () => ({ rows: 1, ms: 0.5 })));
    assert.deepEqual([model.fitted, model.a, model.b], [false, 0, 0.5]);
    assert.equal(model.rowsWithin(5), Infinity);
    model.add(8, 1.2);
    assert.ok(model.fitted);
    assert.ok(Math.abs(model.runMs(8) - 1.2) < 0.01);
  });

  for (const at of [3, 100]) {
    it(`is hardly moved by a single stall, as run ${at}`, () => {
      const rng = createRng(5);
      const samples = Array.from({ length: 150 }, (_, i) => {
        const rows = 1 + Math.floor(rng.next() * 64);
        return { rows, ms: i === at ? 500 : (0.01 * rows + 0.1) * (1 + 0.02 * (rng.next() - 0.5)) };
      });
      const model = learn(samples);
      assert.ok(Math.abs(model.runMs(64) / 0.74 - 1) < 0.05, `64 rows: ${model.runMs(64)} ms`);
      const { a, b } = leastSquares(samples);
      assert.ok(Math.abs((64 * a + b) / 0.74 - 1) > 0.5, 'the plain fit would have believed it');
    });
  }

  it('follows a lasting change within a few half-lives', () => {
    const rng = createRng(6);
    const model = new CostModel();
    const run = (factor: number): void => {
      const rows = 1 + Math.floor(rng.next() * 64);
      model.add(rows, factor * (0.01 * rows + 0.1) * (1 + 0.05 * (rng.next() - 0.5)));
    };
    for (let i = 0; i < 500; i += 1) run(1);
    const quiet = model.residual;
    for (let i = 0; i < 800; i += 1) run(10);
    assert.ok(Math.abs(model.runMs(32) / 4.2 - 1) < 0.15, `32 rows: ${model.runMs(32)} ms instead of 4.2`);
    assert.ok(quiet > 0 && quiet < 0.03, `residual ${quiet}`);
  });

  it('remembers the price of a row while all runs have one size', () => {
    const model = learn(
      Array.from({ length: 40 }, (_, i) => ({ rows: 1 + (i % 8), ms: 0.1 * (1 + (i % 8)) + 1 })),
    );
    for (let i = 0; i < 20_000; i += 1) model.add(1, 1.1);
    assert.ok(Math.abs(model.a - 0.1) < 1e-3 && Math.abs(model.b - 1) < 1e-3, `${model.a} ${model.b}`);
  });

  it('turns a slice of time into rows, at least one', () => {
    const model = learn(Array.from({ length: 64 }, (_, i) => ({ rows: 1 + i, ms: 0.1 * (1 + i) + 1 })));
    assert.equal(model.rowsWithin(5), 40);
    assert.equal(model.rowsWithin(0.5), 1);
  });

  it('ignores what is no measurement', () => {
    const model = new CostModel();
    for (const ms of [NaN, -1, Infinity]) model.add(1, ms);
    model.add(0, 1);
    assert.equal(model.samples, 0);
  });
});

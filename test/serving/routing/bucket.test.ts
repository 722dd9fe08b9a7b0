import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';
import { bucketOf, saltState } from '../../../serving/routing/bucket.ts';

/** 99.9th percentile of chi-squared with k degrees of freedom (Wilson and Hilferty's approximation). */
function chiSquaredLimit(k: number): number {
  const spread = 2 / (9 * k);
  return k * (1 - spread + 3.0902 * Math.sqrt(spread)) ** 3;
}

function chiSquared(counts: readonly number[]): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const expected = total / counts.length;
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}

function histogram(salt: string, units: number, cells: number, unit: (i: number) => string): number[] {
  const counts = Array.from({ length: cells }, () => 0);
  const state = saltState(salt);
  for (let i = 0; i < units; i += 1) {
    const cell = Math.floor((bucketOf(state, unit(i)) * cells) / 10_000);
    counts[cell] = (counts[cell] ?? 0) + 1;
  }
  return counts;
}

describe('sticky buckets', () => {
  it('put a unit into the same bucket of 10,000 each time', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (salt, unit) => {
        const bucket = bucketOf(saltState(salt), unit);
        assert.ok(Number.isInteger(bucket) && bucket >= 0 && bucket < 10_000);
        assert.equal(bucketOf(saltState(salt), unit), bucket);
      }),
    );
  });

  it('are filled evenly by sequential, numeric and prefixed ids (chi-squared)', () => {
    const shapes: ((i: number) => string)[] = [
      String,
      (i) => `user-${i}`,
      (i) => `${i}@example.org`,
      (i) => i.toString(36).padStart(12, '0'),
    ];
    for (const [index, shape] of shapes.entries()) {
      for (const cells of [20, 1000]) {
        const counts = histogram(`release-${index}`, 100_000, cells, shape);
        assert.ok(chiSquared(counts) < chiSquaredLimit(cells - 1), `shape ${index} in ${cells} cells`);
      }
    }
  });

  it('draw other units for another salt: knowing one bucket says nothing about the next release', () => {
    const first = saltState('release-1');
    const second = saltState('release-2');
    const joint = Array.from({ length: 100 }, () => 0);
    for (let i = 0; i < 100_000; i += 1) {
      const cell =
        Math.floor(bucketOf(first, `u${i}`) / 1000) * 10 + Math.floor(bucketOf(second, `u${i}`) / 1000);
      joint[cell] = (joint[cell] ?? 0) + 1;
    }
    assert.ok(chiSquared(joint) < chiSquaredLimit(99));
  });
});

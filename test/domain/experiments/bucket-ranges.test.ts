import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';
import { bucketTable, moveRanges, startRanges } from '../../../domain/experiments/bucket-ranges.ts';

/** Shares of up to ten arms, some of them 0. */
const shares = fc.integer({ min: 2, max: 10 }).chain((arms) =>
  fc.array(fc.nat(10_000), { minLength: arms - 1, maxLength: arms - 1 }).map((cuts) => {
    const edges = [0, ...cuts.sort((a, b) => a - b), 10_000];
    return edges.slice(1).map((edge, index) => edge - (edges[index] as number));
  }),
);

function counts(table: Uint8Array, arms: number): readonly number[] {
  const all = Array.from({ length: arms }, () => 0);
  for (const arm of table) all[arm] = (all[arm] ?? 0) + 1;
  return all;
}

describe('bucket ranges', () => {
  it('give each arm exactly its share', () => {
    fc.assert(
      fc.property(shares, (wanted) => {
        assert.deepEqual(counts(bucketTable(startRanges(wanted)), wanted.length), wanted);
      }),
    );
  });

  it('move as few buckets as possible, through any number of changes', () => {
    fc.assert(
      fc.property(fc.array(shares, { minLength: 2, maxLength: 8 }), (all) => {
        const first = all[0] as readonly number[];
        const later = all.slice(1);
        let ranges = startRanges(first);
        let before = first;
        for (const wanted of later) {
          const next = moveRanges(ranges, wanted);
          const [old, now] = [bucketTable(ranges), bucketTable(next)];
          const arms = Math.max(before.length, wanted.length);
          assert.deepEqual(counts(now, wanted.length), wanted);
          let moved = 0;
          now.forEach((arm, bucket) => (moved += arm === old[bucket] ? 0 : 1));
          let needed = 0;
          for (let arm = 0; arm < arms; arm += 1)
            needed += Math.max(0, (wanted[arm] ?? 0) - (before[arm] ?? 0));
          assert.equal(moved, needed);
          ranges = next;
          before = wanted;
        }
      }),
      { numRuns: 60 },
    );
  });

  it('two arms: the first always has the buckets below its share, whatever came before', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(10_000), { minLength: 1, maxLength: 8 }), (weights) => {
        let ranges = startRanges([5000, 5000]);
        for (const weight of weights) {
          ranges = moveRanges(ranges, [weight, 10_000 - weight]);
          assert.deepEqual(ranges, startRanges([weight, 10_000 - weight]));
        }
      }),
    );
  });

  it('refuse shares and ranges that are not whole', () => {
    for (const wrong of [[5000, 4999], [10_001, -1], [0.5, 9999.5], []]) {
      assert.throws(() => startRanges(wrong), { code: 'INVALID_PARAMETER' });
    }
    const gap = [
      { from: 0, to: 5000, arm: 0 },
      { from: 5001, to: 10_000, arm: 1 },
    ];
    assert.throws(() => bucketTable(gap), /without gaps/);
    assert.throws(() => bucketTable([]), /without gaps/);
  });
});

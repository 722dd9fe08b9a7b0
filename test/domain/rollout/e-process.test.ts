import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';
import { SlipwayError } from '../../../domain/errors.ts';
import { binomialLogE, logMeanExp, ratioLogE } from '../../../domain/rollout/e-process.ts';
import { closeLogs } from './evidence-fixture.ts';

const exp = (log: number): number => Number(Math.exp(log).toPrecision(12));

describe('e-process: exact values', () => {
  it('ratio: share 1/2, ratio 3 against 1, two of three bad events on the candidate', () => {
    // θ goes from 1/2 to 3/4: (3/4 · 3/4 · 1/4) / (1/2)^3 = 9/8
    assert.equal(exp(ratioLogE([{ share: 0.5, candidateBad: 2, championBad: 1 }], 1, [3])), 9 / 8);
  });

  it('ratio: alternatives are averaged after the product over segments, not segment by segment', () => {
    // Ratio 3: 3/4 over 1/2 = 3/2, then (1/2)/(3/4) = 2/3: 1. Ratio 9: 9/5, then (1/4)/(3/4) = 1/3: 3/5. Mean 4/5.
    const events = [
      { share: 0.5, candidateBad: 1, championBad: 0 },
      { share: 0.25, candidateBad: 0, championBad: 1 },
    ];
    assert.equal(exp(ratioLogE(events, 1, [3, 9])), 0.8);
  });

  it('ratio: an alternative of 0 is refuted by one bad event, and only it', () => {
    // Share 1/2, null ratio 3. Ratio 0: a champion's event counts 1/(1/4) = 4. Ratio 1: (1/2)/(1/4) = 2.
    assert.equal(exp(ratioLogE([{ share: 0.5, candidateBad: 0, championBad: 1 }], 3, [0, 1])), 3);
    // With one on the candidate too: 0 and 2 · (1/2)/(3/4) = 4/3; mean 2/3.
    assert.equal(
      exp(ratioLogE([{ share: 0.5, candidateBad: 1, championBad: 1 }], 3, [0, 1])),
      Number((2 / 3).toPrecision(12)),
    );
  });

  it('rate: null 1/2, alternatives 1/4 and 0', () => {
    assert.equal(exp(binomialLogE(2, 0, 0.5, [0.25, 0])), 3.125);
    assert.equal(exp(binomialLogE(2, 1, 0.5, [0.25, 0])), 0.375);
  });

  it('logMeanExp neither overflows nor underflows', () => {
    assert.ok(closeLogs(logMeanExp([5000, 5000 + Math.log(3)]), 5000 + Math.log(2)));
    assert.ok(closeLogs(logMeanExp([-5000, -Infinity]), -5000 - Math.log(2)));
    assert.equal(logMeanExp([-Infinity, -Infinity]), -Infinity);
  });
});

describe('e-process: no evidence without events', () => {
  const share = fc.double({ min: 0.0001, max: 0.9999, noNaN: true });
  const rate = fc.double({ min: 0.0001, max: 0.9, noNaN: true });

  it('is exactly 1 with no data', () => {
    fc.assert(
      fc.property(share, rate, (w, q) => {
        assert.equal(ratioLogE([], 1.1, [2, 3, 4]), 0);
        assert.equal(ratioLogE([{ share: w, candidateBad: 0, championBad: 0 }], 2, [0.5, 1, 0]), 0);
        assert.equal(binomialLogE(0, 0, q, [0, q / 2]), 0);
      }),
    );
  });

  it('a share of 0 or 1 compares nothing', () => {
    for (const share of [0, 1]) {
      assert.equal(ratioLogE([{ share, candidateBad: 50, championBad: 7 }], 1.1, [2, 20]), 0);
    }
  });
});

describe('e-process: each step is fair under its null hypothesis', () => {
  // What makes Ville's inequality hold, checked as an identity: at the bound the mean of one more event is 1, and on
  // the harmless side of it at most 1, whatever has been seen before.
  const seen = fc.record({ candidateBad: fc.nat(40), championBad: fc.nat(400) });
  const shares = fc.double({ min: 0.001, max: 0.999, noNaN: true });

  it('ratio, regression side: ratio ≤ bound', () => {
    fc.assert(
      fc.property(seen, shares, fc.double({ min: 0.01, max: 1, noNaN: true }), (before, share, part) => {
        const bound = 1.1;
        const alternatives = [1.65, 2.2, 22];
        const mean = meanAfterOneEvent(before, share, part * bound, (e) => ratioLogE(e, bound, alternatives));
        assert.ok(part === 1 ? Math.abs(mean - 1) < 1e-9 : mean <= 1 + 1e-9, `mean ${mean}`);
      }),
      { examples: [[{ candidateBad: 3, championBad: 9 }, 0.1, 1]] },
    );
  });

  it('ratio, safety side: ratio ≥ bound', () => {
    fc.assert(
      fc.property(seen, shares, fc.double({ min: 1, max: 50, noNaN: true }), (before, share, times) => {
        const mean = meanAfterOneEvent(before, share, times * 2, (e) => ratioLogE(e, 2, [0.5, 0.75, 1]));
        assert.ok(times === 1 ? Math.abs(mean - 1) < 1e-9 : mean <= 1 + 1e-9, `mean ${mean}`);
      }),
      { examples: [[{ candidateBad: 3, championBad: 9 }, 0.1, 1]] },
    );
  });

  it('rate, both sides', () => {
    fc.assert(
      fc.property(fc.nat(50), fc.nat(500), fc.double({ min: 0, max: 1, noNaN: true }), (bad, good, rate) => {
        const bound = 0.05;
        for (const alternatives of [
          [0.1, 0.5],
          [0.025, 0.01],
        ]) {
          const log = (b: number, g: number): number => binomialLogE(b + g, b, bound, alternatives);
          const mean =
            rate * Math.exp(log(bad + 1, good) - log(bad, good)) +
            (1 - rate) * Math.exp(log(bad, good + 1) - log(bad, good));
          const isNull = (alternatives[0] as number) > bound ? rate <= bound : rate >= bound;
          if (isNull) assert.ok(mean <= 1 + 1e-9, `mean ${mean} at a rate of ${rate}`);
          if (rate === bound) assert.ok(Math.abs(mean - 1) < 1e-9);
        }
      }),
      { examples: [[3, 40, 0.05]] },
    );
  });

  it('mirrored answers: however the two arms fail together, one request adds at most 1', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, noNaN: true }), fc.constantFrom(1.1, 2), (together, bound) => {
        // Share 1/2, champion bad 2 %, candidate bound × 2 %; `together` of the champion's also fail on the candidate.
        const champion = 0.02;
        const candidate = bound * champion;
        const both = together * champion;
        const alternatives = bound === 2 ? [0.5, 1] : [2.2, 5];
        const factor = (candidateBad: number, championBad: number): number =>
          Math.exp(ratioLogE([{ share: 0.5, candidateBad, championBad }], bound, alternatives));
        const mean =
          both * factor(1, 1) +
          (candidate - both) * factor(1, 0) +
          (champion - both) * factor(0, 1) +
          (1 - candidate - champion + both);
        assert.ok(mean <= 1 + 1e-9, `mean ${mean}`);
      }),
    );
  });
});

describe('e-process: wrong use is refused', () => {
  it('alternatives on both sides, none, or equal to the bound', () => {
    const refused = (run: () => unknown): void =>
      assert.throws(run, (error) => error instanceof SlipwayError);
    refused(() => ratioLogE([], 1.1, [0.5, 2]));
    refused(() => ratioLogE([], 1.1, []));
    refused(() => ratioLogE([], 1.1, [1.1]));
    refused(() => ratioLogE([], Number.NaN, [2]));
    refused(() => binomialLogE(1, 0, 0, [0.5]));
    refused(() => binomialLogE(1, 0, 1, [0.5]));
    refused(() => binomialLogE(1, 0, 0.5, [1]));
  });
});

/** Mean factor of one more bad event when the true ratio of the rates is `truth`. */
function meanAfterOneEvent(
  before: { candidateBad: number; championBad: number },
  share: number,
  truth: number,
  logE: (events: { share: number; candidateBad: number; championBad: number }[]) => number,
): number {
  const own = (share * truth) / (share * truth + 1 - share);
  const start = logE([{ share, ...before }]);
  const candidate = logE([{ share, ...before, candidateBad: before.candidateBad + 1 }]);
  const champion = logE([{ share, ...before, championBad: before.championBad + 1 }]);
  return own * Math.exp(candidate - start) + (1 - own) * Math.exp(champion - start);
}

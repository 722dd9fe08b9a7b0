import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';
import { SlipwayError } from '../../../domain/errors.ts';
import { sampleRatioLogE } from '../../../domain/rollout/sample-ratio.ts';
import { arbitraryShare, closeLogs } from './evidence-fixture.ts';

describe('sample ratio', () => {
  it('exact values: a prior centred on the share, two requests in a row on one arm', () => {
    assert.equal(sampleRatioLogE([]), 0);
    assert.ok(closeLogs(sampleRatioLogE([{ share: 0.5, candidate: 1, champion: 0 }]), 0));
    // Beta(50, 50): 50/100 · 51/101, over 1/2 · 1/2
    assert.ok(closeLogs(sampleRatioLogE([{ share: 0.5, candidate: 2, champion: 0 }]), Math.log(102 / 101)));
    // Beta(10, 90), one each: 10/100 · 90/101, over 1/10 · 9/10
    assert.ok(closeLogs(sampleRatioLogE([{ share: 0.1, candidate: 1, champion: 1 }]), Math.log(100 / 101)));
  });

  it('equals the step-by-step product of predictive probabilities, with any share and up to thousands of requests', () => {
    fc.assert(
      fc.property(arbitraryShare, fc.nat(3000), fc.nat(3000), (share, candidate, champion) => {
        let log = 0;
        for (let i = 0; i < candidate; i += 1) log += Math.log((100 * share + i) / (100 + i) / share);
        for (let i = 0; i < champion; i += 1) {
          log += Math.log((100 * (1 - share) + i) / (100 + candidate + i) / (1 - share));
        }
        const closed = sampleRatioLogE([{ share, candidate, champion }]);
        assert.ok(closeLogs(closed, log), `${closed} and ${log}`);
      }),
    );
  });

  it('keeps its digits at 10^12 requests', () => {
    const log = sampleRatioLogE([{ share: 0.1, candidate: 1e11, champion: 9e11 }]);
    // A perfect split of n requests: ½ ln(c/n) + o(1) with c = 100.
    assert.ok(Math.abs(log - 0.5 * Math.log(100 / 1e12)) < 0.01, String(log));
  });

  it('cutting evidence into segments, or their order, changes nothing', () => {
    const totals = fc.record({
      share: fc.constantFrom(0.01, 0.1, 0.5),
      candidate: fc.nat(1000),
      champion: fc.nat(1000),
    });
    fc.assert(
      fc.property(fc.array(totals, { maxLength: 12 }), (parts) => {
        const merged = [0.01, 0.1, 0.5].map((share) => ({
          share,
          candidate: sum(parts.filter((part) => part.share === share).map((part) => part.candidate)),
          champion: sum(parts.filter((part) => part.share === share).map((part) => part.champion)),
        }));
        const whole = sampleRatioLogE(merged);
        assert.ok(closeLogs(sampleRatioLogE(parts), whole));
        assert.ok(closeLogs(sampleRatioLogE(parts.toReversed()), whole));
      }),
    );
  });

  it('finds an arm that gets nothing at exactly the 45th request at 50 %, the 160th at 10 %, the 920th at 1 %', () => {
    for (const [share, requests] of [
      [0.5, 45],
      [0.1, 160],
      [0.01, 920],
    ] as const) {
      assert.ok(sampleRatioLogE([{ share, candidate: 0, champion: requests - 1 }]) < Math.log(1000));
      assert.ok(sampleRatioLogE([{ share, candidate: 0, champion: requests }]) >= Math.log(1000));
    }
  });

  it('one request on an arm that has no traffic is a certain mismatch', () => {
    assert.equal(sampleRatioLogE([{ share: 0, candidate: 1, champion: 100 }]), Infinity);
    assert.equal(sampleRatioLogE([{ share: 1, candidate: 100, champion: 1 }]), Infinity);
    assert.equal(sampleRatioLogE([{ share: 0, candidate: 0, champion: 100 }]), 0);
    assert.throws(
      () => sampleRatioLogE([{ share: Number.NaN, candidate: 1, champion: 1 }]),
      (error) => error instanceof SlipwayError,
    );
  });
});

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

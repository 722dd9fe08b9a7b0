import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';
import { abResult } from '../../../domain/experiments/ab-result.ts';
import type { ExperimentSegment } from '../../../domain/experiments/ab-result.ts';
import { addReward, meanInterval, meanLogE, NO_REWARDS } from '../../../domain/experiments/bounded-mean.ts';
import type { PairSegment } from '../../../domain/experiments/difference.ts';
import { differenceInterval, differenceLogE } from '../../../domain/experiments/difference.ts';
import type { Rng } from '../../support/rng.ts';
import { createRng } from '../../support/rng.ts';
import { abSpec } from './spec-fixture.ts';

/** Looks of 100 requests each; stops when `look` says so. */
function run(
  rng: Rng,
  {
    looks,
    rates,
    reward,
  }: { looks: number; rates: (look: number) => readonly number[]; reward?: (rate: number) => number },
  look: (segment: ExperimentSegment) => boolean,
): boolean {
  const totals = [NO_REWARDS, NO_REWARDS];
  for (let index = 0; index < looks; index += 1) {
    for (let request = 0; request < 100; request += 1) {
      const arm = rng.integer(2);
      const rate = rates(index)[arm] as number;
      totals[arm] = addReward(totals[arm] as typeof NO_REWARDS, reward?.(rate) ?? (rng.chance(rate) ? 1 : 0));
    }
    const arms = totals.map((own) => ({ decisions: own.rewards, totals: own }));
    if (look({ weightsBp: [5000, 5000], arms })) return true;
  }
  return false;
}

/** How many of `runs` seeded runs end with `true`. */
function count(runs: number, one: (rng: Rng) => boolean): number {
  let hits = 0;
  for (let seed = 1; seed <= runs; seed += 1) if (one(createRng(seed))) hits += 1;
  return hits;
}

const RUNS = 400;
/** Three standard errors above 5 % of 400 would be 33; these guarantees hold with room. */
const ALLOWED = 20;

type Arms = readonly [ExperimentSegment['arms'][number], ExperimentSegment['arms'][number]];

const pairOf = ({ arms }: ExperimentSegment): PairSegment => {
  const [control, deep] = arms as Arms;
  return { share: 0.5, arm: deep.totals, control: control.totals };
};

/** The e-value alone is asked first, since most looks end there and an interval costs a hundred of them. */
const isWon = (segment: ExperimentSegment): boolean =>
  differenceLogE('conversion', [pairOf(segment)], 0, 1) >= Math.log(40) - 1e-9 &&
  abResult(abSpec(), [segment], 0).decision === 'winner';

describe('A/B result: error rates with a look after every 100 requests', () => {
  const equal = (): readonly number[] => [0.1, 0.1];

  it('two equal arms give a winner in at most 5 % of runs', () => {
    const wins = count(RUNS, (rng) => run(rng, { looks: 100, rates: equal }, isWon));
    assert.ok(wins <= ALLOWED, `${wins} of ${RUNS}`);
  });

  it('equal arms that wander together from 2 to 60 % give a winner in at most 5 % of runs', () => {
    const wander = (look: number): readonly number[] => {
      const rate = 0.31 + 0.29 * Math.sin(look / 8);
      return [rate, rate];
    };
    const wins = count(RUNS, (rng) => run(rng, { looks: 100, rates: wander }, isWon));
    assert.ok(wins <= ALLOWED, `${wins} of ${RUNS}`);
  });

  it('the interval of the difference misses it at some look in at most 5 % of runs', () => {
    const misses = count(RUNS, (rng) =>
      run(rng, { looks: 100, rates: () => [0.1, 0.15] }, (segment) =>
        ([1, -1] as const).some(
          (direction) => differenceLogE('conversion', [pairOf(segment)], 0.05, direction) >= Math.log(40),
        ),
      ),
    );
    assert.ok(misses <= ALLOWED, `${misses} of ${RUNS}`);
  });

  for (const metric of ['conversion', 'reward'] as const) {
    it(`the interval of a ${metric} mean misses it at some look in at most 5 % of runs`, () => {
      const misses = count(RUNS, (rng) =>
        run(
          rng,
          {
            looks: 60,
            rates: equal,
            // A reward with a mean of 0.1 that is skewed: mostly small, sometimes near 1.
            ...(metric === 'reward' ? { reward: () => rng.next() ** 9 } : {}),
          },
          ({ arms }) => meanLogE(metric, (arms as Arms)[0].totals, 0.1) >= Math.log(20),
        ),
      );
      assert.ok(misses <= ALLOWED, `${misses} of ${RUNS}`);
    });
  }

  it('a better arm (10 against 13 %) wins in at least 90 % of runs of 20,000 requests', () => {
    const wins = count(60, (rng) =>
      run(rng, { looks: 200, rates: () => [0.1, 0.13] }, (segment) => {
        return isWon(segment) && abResult(abSpec(), [segment], 0).winner === 'deep';
      }),
    );
    assert.ok(wins >= 54, `${wins} of 60`);
  });

  it('rewards that vary little give an interval far narrower than their sum alone would', () => {
    const rng = createRng(5);
    let totals = NO_REWARDS;
    for (let i = 0; i < 5000; i += 1) totals = addReward(totals, 0.45 + 0.1 * rng.next());
    const { lower, upper } = meanInterval('reward', totals, 0.05);
    const bySum = meanInterval('conversion', totals, 0.05);
    assert.ok(lower < 0.5 && upper > 0.5, `${lower} to ${upper}`);
    assert.ok((upper - lower) * 8 < bySum.upper - bySum.lower, `${upper - lower}`);
  });

  it('a value lies in an interval exactly when no e-value speaks against it', () => {
    const arm = fc
      .record({ rewards: fc.nat(3000), rate: fc.double({ min: 0, max: 1, noNaN: true }) })
      .map(({ rewards, rate }) => {
        const sum = Math.round(rewards * rate);
        return { rewards, sum, sumSquares: sum };
      });
    const share = fc.integer({ min: 1, max: 99 }).map((percent) => percent / 100);
    const value = fc.double({ min: -0.999, max: 0.999, noNaN: true });
    fc.assert(
      fc.property(arm, arm, share, value, (own, control, share, value) => {
        const pairs = [{ share, arm: own, control }];
        const { lower, upper } = differenceInterval('conversion', pairs, 0.05);
        const speaks = (direction: 1 | -1): boolean =>
          differenceLogE('conversion', pairs, value, direction) >= Math.log(40);
        assert.equal(value < lower, speaks(1));
        assert.equal(value > upper, speaks(-1));
        const mean = Math.abs(value);
        const interval = meanInterval('reward', own, 0.05);
        const against = own.rewards > 0 && meanLogE('reward', own, mean) >= Math.log(20);
        assert.equal(mean < interval.lower || mean > interval.upper, against);
      }),
      { numRuns: 200 },
    );
  });
});

describe('A/B result: decisions', () => {
  const arm = (rewards: number, sum: number, decisions = rewards): ExperimentSegment['arms'][number] => ({
    decisions,
    totals: { rewards, sum, sumSquares: sum },
  });
  const segment = (
    control: readonly [number, number],
    deep: readonly [number, number],
  ): ExperimentSegment => ({
    weightsBp: [5000, 5000],
    arms: [arm(...control), arm(...deep)],
  });

  it('no evidence: goes on, and says so', () => {
    const result = abResult(abSpec(), [], 0);
    assert.equal(result.decision, 'continue');
    assert.deepEqual(result.arms[0]?.interval, { lower: 0, upper: 1 });
    assert.equal(result.comparisons[0]?.difference, null);
    assert.ok((result.comparisons[0]?.pValue as number) >= 0.999);
  });

  it('the p-value is below alpha exactly when the interval lies above 0', () => {
    for (let better = 1000; better <= 1400; better += 5) {
      const { comparisons } = abResult(abSpec(), [segment([10_000, 1000], [10_000, better])], 0);
      const [{ interval, pValue }] = comparisons as [(typeof comparisons)[number]];
      assert.equal(interval.lower > 0, pValue < 0.05, `${better}: ${interval.lower}, ${pValue}`);
    }
  });

  it('a proven arm is no winner before every arm has its samples', () => {
    const evidence = [segment([300, 10], [300, 200])];
    assert.equal(abResult(abSpec({ minSamples: 301 }), evidence, 0).decision, 'continue');
    assert.equal(abResult(abSpec({ minSamples: 300 }), evidence, 0).winner, 'deep');
  });

  it('ends without a difference once none as large as the minimum effect is possible', () => {
    const evidence = [segment([60_000, 6000], [60_000, 6000])];
    assert.equal(abResult(abSpec({ minimumEffect: 0.02 }), evidence, 0).decision, 'no-difference');
    assert.equal(abResult(abSpec({ minimumEffect: 0.001 }), evidence, 0).decision, 'continue');
  });

  it('a worse arm never wins, and ends the experiment', () => {
    assert.equal(abResult(abSpec(), [segment([10_000, 1500], [10_000, 1000])], 0).decision, 'no-difference');
  });

  it('a wrong split is invalid, even with an apparent winner: in decisions, and in rewards alone', () => {
    const split = segment([10_000, 1000], [8000, 1500]);
    assert.match(abResult(abSpec(), [split], 0).reason, /sample-ratio mismatch: \w+ got \d+ decisions/);
    const lost = { weightsBp: [5000, 5000], arms: [arm(10_000, 1000), arm(8000, 1500, 10_000)] };
    const result = abResult(abSpec(), [lost], 0);
    assert.equal(result.decision, 'invalid');
    assert.match(result.reason, /rewards/);
  });

  it('the longest duration ends it', () => {
    const spec = abSpec();
    const evidence = [segment([500, 50], [500, 50])];
    assert.equal(abResult(spec, evidence, spec.maxDurationMs - 1).decision, 'continue');
    assert.equal(abResult(spec, evidence, spec.maxDurationMs).decision, 'inconclusive');
  });

  it('three arms: α is divided among the comparisons', () => {
    const spec = abSpec({
      arms: [
        { name: 'control', version: 'champion', weightBp: 3333 },
        { name: 'deep', version: 'challenger', weightBp: 3333 },
        { name: 'wide', version: 'wide', weightBp: 3334 },
      ],
    });
    const evidence = [
      { weightsBp: [3333, 3333, 3334], arms: [arm(9000, 900), arm(9000, 1200), arm(9000, 1300)] },
    ];
    const result = abResult(spec, evidence, 0);
    assert.equal(result.winner, 'wide');
    const [deep] = result.comparisons;
    assert.equal(deep?.pValue, Math.min(1, 4 * Math.exp(-(deep?.logE ?? 0))));
  });

  it('cutting the evidence into segments of equal weights changes nothing but rounding', () => {
    const whole = abResult(abSpec(), [segment([4000, 400], [4000, 480])], 0);
    const cut = abResult(abSpec(), [segment([1000, 60], [1500, 200]), segment([3000, 340], [2500, 280])], 0);
    assert.ok(Math.abs((whole.comparisons[0]?.logE ?? 0) - (cut.comparisons[0]?.logE ?? 1)) < 1e-9);
  });

  it('stays exact with a billion rewards', () => {
    const { lower, upper } = meanInterval('conversion', { rewards: 1e9, sum: 1e8, sumSquares: 1e8 }, 0.05);
    assert.ok(
      lower < 0.1 && upper > 0.1 && upper - lower < 1e-4 && upper - lower > 1e-5,
      `${lower} ${upper}`,
    );
  });

  it('impossible totals are refused', () => {
    for (const totals of [
      { rewards: 10, sum: 11, sumSquares: 11 },
      { rewards: 10, sum: 5, sumSquares: 6 },
      { rewards: 10, sum: 5, sumSquares: 1 },
      { rewards: 1.5, sum: 1, sumSquares: 1 },
      { rewards: 1, sum: NaN, sumSquares: 1 },
    ]) {
      assert.throws(() => meanInterval('reward', totals, 0.05), /cannot have/);
    }
  });
});

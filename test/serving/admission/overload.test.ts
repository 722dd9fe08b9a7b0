/** Guarantees under overload, of the real admission around a simulated event loop with measured costs. */
import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { capacityOf, simulate, SMALL_MODEL, summary } from './loop-plant.ts';
import type { Plant, Stage } from './loop-plant.ts';

/** A run of 0.2 ms, 30 µs a row: the shape of a few hundred trees. */
const TREES: Plant = { ...SMALL_MODEL, body: 0.03, run: 0.2, row: 0.03 };
const WARM_MS = 2000;

function overload(plant: Plant, factor: number, deadlineMs: number, connections: number) {
  const capacity = capacityOf(plant);
  const stages: Stage[] = [
    { ms: WARM_MS, perSecond: capacity * 0.5 },
    { ms: 3000, perSecond: capacity * factor },
    { ms: 3000, perSecond: capacity * 0.6 },
  ];
  const seen = simulate({ plant, stages, deadlineMs, connections, seed: 5 });
  const during = summary(seen, WARM_MS + 1000, WARM_MS + 3000);
  return { seen, during, share: during.goodPerSecond / capacity };
}

describe('admission: overload of a simulated event loop', function () {
  this.timeout(60_000);

  for (const [name, plant] of [
    ['a small model', SMALL_MODEL],
    ['trees', TREES],
  ] as const) {
    for (const [factor, wanted] of [
      [1.5, 0.6],
      [2, 0.3],
    ] as const) {
      it(`${name}, ${factor} times the capacity: goodput, critical requests and order of shedding`, () => {
        const { during, share, seen } = overload(plant, factor, 100, 256);
        assert.ok(share >= wanted, `goodput ${share}`);
        const { critical, default: usual, sheddable, bulk } = during.goodShare;
        assert.ok(critical >= 0.99, `critical ${critical}`);
        assert.ok(critical >= usual && usual >= sheddable && sheddable >= bulk, JSON.stringify(during));
        const after = summary(seen, WARM_MS + 3000 + 2000, WARM_MS + 6000);
        assert.ok(after.p99 < 50, `p99 ${after.p99} ms two seconds after`);
        assert.ok(after.goodShare.default >= 0.999, `default ${after.goodShare.default} afterwards`);
      });
    }
  }

  it('sheds nobody of the two higher classes at 80 % of the capacity', () => {
    const { during } = overload(SMALL_MODEL, 0.8, 100, 256);
    assert.equal(during.goodShare.critical, 1);
    assert.equal(during.goodShare.default, 1);
  });

  it('comes back from stalls of the machine within a second', () => {
    const perSecond = capacityOf(SMALL_MODEL) * 0.5;
    const stall = { everyMs: 1000, ms: 60 };
    const seen = simulate({
      plant: SMALL_MODEL,
      stages: [{ ms: 6000, perSecond }],
      deadlineMs: 100,
      connections: 256,
      seed: 5,
      stall,
    });
    const { goodShare } = summary(seen, 1000, 6000);
    assert.ok(goodShare.default >= 0.9, `default ${goodShare.default}`);
  });
});

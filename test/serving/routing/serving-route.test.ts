import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';
import { createBreaker, recordOutcome } from '../../../domain/rollout/breaker.ts';
import type { Arm } from '../../../domain/rollout/arm-window.ts';
import { TallyBook } from '../../../serving/arm-tally.ts';
import type { ModelSession } from '../../../serving/models/model-session.ts';
import { saltState } from '../../../serving/routing/bucket.ts';
import { pickArm, pickMirror } from '../../../serving/routing/serving-route.ts';
import type { ServingArm, ServingRoute } from '../../../serving/routing/serving-route.ts';
import { createRng } from '../../support/rng.ts';

const session: ModelSession = {
  placement: 'inline',
  run: () => Promise.reject(new Error('routing runs nothing')),
  retire: () => Promise.resolve(),
};

function arm(name: Arm, version: string): ServingArm {
  const book = new TallyBook();
  book.enter([{ endpoint: 'e', generation: 1, arm: name, version }], 0);
  return { version, session, tally: book.of(1, name)! };
}

function route(weightBp: number, mirrorBp = 0, salt = 's', leaseUntilMs = 1000): ServingRoute {
  return {
    generation: 1,
    champion: arm('champion', 'A'),
    candidate: {
      canary: weightBp > 0 ? arm('canary', 'B') : null,
      shadow: mirrorBp > 0 ? arm('shadow', 'B') : null,
      weightBp,
      mirrorBp,
      saltState: saltState(salt),
      exposure: { breaker: createBreaker(), leaseUntilMs, withdrawn: false },
    },
  };
}

const never = (): number => {
  throw new Error('a request with a unit draws nothing');
};

describe('routing', () => {
  it('only adds units when the weight rises: who is in the canary stays in it', () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.string(),
        fc.integer({ min: 0, max: 10_000 }),
        fc.integer({ min: 0, max: 10_000 }),
        (salt, unit, a, b) => {
          const low = pickArm(route(Math.min(a, b), 0, salt), unit, 0, never);
          const high = pickArm(route(Math.max(a, b), 0, salt), unit, 0, never);
          if (low.tally.arm === 'canary') assert.equal(high.tally.arm, 'canary');
        },
      ),
    );
  });

  it('gives the candidate its weight, with and without units', () => {
    const canary = route(2500);
    const random = createRng(3);
    const rng = (): number => random.next();
    for (const unit of [(i: number) => `user-${i}`, () => undefined]) {
      let taken = 0;
      for (let i = 0; i < 40_000; i += 1) {
        if (pickArm(canary, unit(i), 0, rng).tally.arm === 'canary') taken += 1;
      }
      // Five standard deviations of a binomial.
      assert.ok(Math.abs(taken - 10_000) < 5 * Math.sqrt(40_000 * 0.25 * 0.75), `${taken}`);
    }
  });

  it('gives a candidate all or nothing at the ends of the scale', () => {
    fc.assert(
      fc.property(fc.string(), (unit) => {
        assert.equal(pickArm(route(10_000), unit, 0, never).tally.arm, 'canary');
        assert.equal(pickArm(route(0), unit, 0, never).tally.arm, 'champion');
      }),
    );
  });

  it('takes all exposure from the moment that the lease ends, the breaker trips or the candidate is withdrawn', () => {
    const canary = route(10_000, 10_000);
    const taken = (at: number): string[] => [
      pickArm(canary, 'u', at, never).tally.arm,
      pickMirror(canary, at, () => 0)?.tally.arm ?? 'none',
    ];
    assert.deepEqual(taken(999.9), ['canary', 'shadow']);
    assert.deepEqual(taken(1000), ['champion', 'none']);
    const { exposure } = canary.candidate!;
    exposure.withdrawn = true;
    assert.deepEqual(taken(0), ['champion', 'none']);
    exposure.withdrawn = false;
    for (let i = 0; i < 5; i += 1) recordOutcome(exposure.breaker, true);
    assert.deepEqual(taken(0), ['champion', 'none']);
  });

  it('mirrors its share of requests, drawn anew for each one', () => {
    const shadow = route(0, 3000);
    const random = createRng(5);
    const rng = (): number => random.next();
    let mirrored = 0;
    for (let i = 0; i < 40_000; i += 1) if (pickMirror(shadow, 0, rng) !== null) mirrored += 1;
    assert.ok(Math.abs(mirrored - 12_000) < 5 * Math.sqrt(40_000 * 0.3 * 0.7), `${mirrored}`);
    assert.equal(pickMirror(route(0, 10_000), 0, () => 0.999_999)?.tally.arm, 'shadow');
  });
});

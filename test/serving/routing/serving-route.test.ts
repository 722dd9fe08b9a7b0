import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';
import { createBreaker, recordOutcome } from '../../../domain/rollout/breaker.ts';
import type { Arm } from '../../../domain/rollout/arm-window.ts';
import { TallyBook } from '../../../serving/arm-tally.ts';
import { saltState } from '../../../serving/routing/bucket.ts';
import { pickArm, pickMirror } from '../../../serving/routing/serving-route.ts';
import type { Exposure, ServingArm, ServingRoute } from '../../../serving/routing/serving-route.ts';
import { createRng } from '../../support/rng.ts';
import { fakeModel } from '../fake-model.ts';

const session = fakeModel(() => Promise.reject(new Error('routing runs nothing')));

function arm(name: Arm, version: string, exposure: Exposure | null = null): ServingArm {
  const book = new TallyBook();
  book.enter([{ endpoint: 'e', generation: 1, arm: name, version }], 0);
  return { version, session, tally: book.of(1, name)!, exposure };
}

function route(weightBp: number, mirrorBp = 0, salt = 's', leaseUntilMs = 1000): ServingRoute {
  const exposure: Exposure = { breaker: createBreaker(), leaseUntilMs, withdrawn: false };
  return {
    generation: 1,
    champion: arm('champion', 'A'),
    candidate: {
      canary: weightBp > 0 ? arm('canary', 'B', exposure) : null,
      shadow: mirrorBp > 0 ? arm('shadow', 'B', exposure) : null,
      weightBp,
      mirrorBp,
      saltState: saltState(salt),
      exposure,
    },
    experiment: null,
  };
}

/** What the request without features of its own is answered by. */
function armOf(of: ServingRoute, unit: string | undefined, at: number, rng: () => number): string {
  return pickArm(of, unit, NO_FEATURES, at, rng).arm.tally.arm;
}

const NO_FEATURES = new Float32Array(0);

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
          const low = armOf(route(Math.min(a, b), 0, salt), unit, 0, never);
          const high = armOf(route(Math.max(a, b), 0, salt), unit, 0, never);
          if (low === 'canary') assert.equal(high, 'canary');
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
        if (armOf(canary, unit(i), 0, rng) === 'canary') taken += 1;
      }
      // Five standard deviations of a binomial.
      assert.ok(Math.abs(taken - 10_000) < 5 * Math.sqrt(40_000 * 0.25 * 0.75), `${taken}`);
    }
  });

  it('gives a candidate all or nothing at the ends of the scale', () => {
    fc.assert(
      fc.property(fc.string(), (unit) => {
        assert.equal(armOf(route(10_000), unit, 0, never), 'canary');
        assert.equal(armOf(route(0), unit, 0, never), 'champion');
      }),
    );
  });

  it('takes all exposure from the moment that the lease ends, the breaker trips or the candidate is withdrawn', () => {
    const canary = route(10_000, 10_000);
    const taken = (at: number): string[] => [
      armOf(canary, 'u', at, never),
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

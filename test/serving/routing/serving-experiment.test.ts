import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';
import { createBreaker, recordOutcome } from '../../../domain/rollout/breaker.ts';
import type { Arm } from '../../../domain/rollout/arm-window.ts';
import { TallyBook } from '../../../serving/arm-tally.ts';
import { saltState } from '../../../serving/routing/bucket.ts';
import { pickArm } from '../../../serving/routing/serving-route.ts';
import type { Exposure, Picked, ServingArm, ServingRoute } from '../../../serving/routing/serving-route.ts';
import type { ServingExperiment } from '../../../serving/routing/serving-experiment.ts';
import { createRng } from '../../support/rng.ts';
import { fakeModel } from '../fake-model.ts';

const session = fakeModel(() => Promise.reject(new Error('routing runs nothing')));
const NO_FEATURES = new Float32Array(0);

function arm(name: Arm, exposure: Exposure | null): ServingArm {
  const book = new TallyBook();
  book.enter([{ endpoint: 'e', generation: 1, arm: name, version: name }], 0);
  return { version: name, session, tally: book.of(1, name)!, exposure };
}

const exposure = (leaseUntilMs = 1000): Exposure => ({
  breaker: createBreaker(),
  leaseUntilMs,
  withdrawn: false,
});

function route(sharesBp: readonly number[], more: Partial<ServingExperiment> = {}): ServingRoute {
  const experiment: ServingExperiment = {
    name: 'x',
    sticky: true,
    saltState: saltState('x'),
    arms: sharesBp.map((_, i) => arm(`exp:${i}`, i === 0 ? null : exposure())),
    sharesBp,
    contextual: null,
    ...more,
  };
  return { generation: 1, champion: arm('champion', null), candidate: null, experiment };
}

function pick(of: ServingRoute, unit: string | undefined, at = 0, rng = never): Picked {
  return pickArm(of, unit, NO_FEATURES, at, rng);
}

function never(): number {
  throw new Error('a unit in a sticky experiment draws nothing');
}

const shares = fc
  .array(fc.integer({ min: 0, max: 10_000 }), { minLength: 1, maxLength: 5 })
  .map((cuts) => [0, ...cuts.toSorted((a, b) => a - b), 10_000])
  .map((cuts) => cuts.slice(1).map((cut, i) => cut - (cuts[i] as number)));

describe('an experiment', () => {
  it('gives each arm its share, and says with which probability', () => {
    const random = createRng(5);
    const of = route([6000, 3000, 1000], { sticky: false });
    const taken = new Map<string, number>();
    for (let i = 0; i < 40_000; i += 1) {
      const { arm: by, propensity, experiment } = pick(of, `user-${i % 7}`, 0, () => random.next());
      assert.equal(experiment, 'x');
      assert.equal(propensity, { 'exp:0': 0.6, 'exp:1': 0.3, 'exp:2': 0.1 }[by.tally.arm as string]);
      taken.set(by.tally.arm, (taken.get(by.tally.arm) ?? 0) + 1);
    }
    for (const [name, share] of [
      ['exp:0', 0.6],
      ['exp:1', 0.3],
      ['exp:2', 0.1],
    ] as const) {
      const deviation = Math.abs((taken.get(name) ?? 0) - 40_000 * share);
      assert.ok(deviation < 5 * Math.sqrt(40_000 * share * (1 - share)), `${name}: ${taken.get(name)}`);
    }
  });

  it('is sticky: the same user always meets the same arm, and an arm without a share meets nobody', () => {
    fc.assert(
      fc.property(shares, fc.string(), (sharesBp, unit) => {
        const of = route(sharesBp);
        const first = pick(of, unit).arm;
        assert.equal(pick(of, unit).arm, first);
        assert.ok((sharesBp[Number(first.version.slice(4))] ?? 0) > 0);
      }),
    );
  });

  it('answers with the champion, outside of the experiment, when the arm is not loaded, failed or has no lease', () => {
    const of = route([0, 10_000]);
    const outside = (at: number): boolean => {
      const { arm: by, experiment, propensity } = pick(of, 'u', at);
      return by === of.champion && experiment === null && propensity === 1;
    };
    assert.equal(outside(999), false);
    assert.equal(outside(1000), true, 'the lease ended');
    const { breaker } = of.experiment!.arms[1]!.exposure!;
    for (let i = 0; i < 5; i += 1) recordOutcome(breaker, true);
    assert.equal(outside(0), true, 'the breaker tripped');
    const missing = route([0, 10_000], { arms: [arm('exp:0', null), null] });
    assert.equal(pick(missing, 'u').arm, missing.champion);
  });

  it('lets a contextual policy choose by the features of the request, with the propensity that it gives', () => {
    const contextual = {
      choose: (context: Float32Array) => ({ index: context[0] === 1 ? 1 : 0, propensity: 0.9 }),
    };
    const of = route([5000, 5000], { contextual });
    for (const [value, name] of [
      [1, 'exp:1'],
      [0, 'exp:0'],
    ] as const) {
      const { arm: by, propensity } = pickArm(of, 'u', new Float32Array([value]), 0, never);
      assert.deepEqual([by.tally.arm, propensity], [name, 0.9]);
    }
  });
});

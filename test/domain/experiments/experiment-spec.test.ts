import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { ExperimentSpec } from '../../../domain/experiments/experiment-spec.ts';
import { checkExperiment } from '../../../domain/experiments/experiment-spec.ts';
import { abSpec, banditSpec } from './spec-fixture.ts';

const THOMPSON = {
  kind: 'bandit',
  algorithm: 'discounted-thompson',
  gamma: 0.9999,
  floor: 0.05,
  stepBp: 1000,
} as const;
const LINUCB = {
  kind: 'bandit',
  algorithm: 'linucb',
  gamma: 0.9999,
  floor: 0.05,
  width: 1,
  ridge: 1,
  context: ['age', 'hour'],
} as const;

describe('experiment spec', () => {
  it('a sound A/B experiment and a sound bandit of each kind have no problems', () => {
    const bandits = [
      THOMPSON,
      { ...THOMPSON, algorithm: 'ucb' },
      { kind: 'bandit', algorithm: 'epsilon-greedy', epsilon: 0.1, gamma: 1, stepBp: 1000 },
      LINUCB,
    ] as const;
    for (const spec of [abSpec(), ...bandits.map(banditSpec)]) assert.deepEqual(checkExperiment(spec), []);
  });

  const [control, deep] = abSpec().arms as [ExperimentSpec['arms'][number], ExperimentSpec['arms'][number]];
  const wrong: readonly (readonly [string, ExperimentSpec, readonly string[]])[] = [
    ['weights that do not add up', abSpec({ arms: [control, { ...deep, weightBp: 4000 }] }), ['/arms']],
    [
      'a weight of 0',
      abSpec({
        arms: [
          { ...control, weightBp: 10_000 },
          { ...deep, weightBp: 0 },
        ],
      }),
      ['/arms/1/weight'],
    ],
    ['one arm', abSpec({ arms: [{ ...control, weightBp: 10_000 }] }), ['/arms']],
    ['two arms of one name', abSpec({ arms: [control, { ...deep, name: 'control' }] }), ['/arms/1/name']],
    ['no champion', abSpec({ arms: [{ ...control, version: 'other' }, deep] }), ['/arms']],
    ['two champions', abSpec({ arms: [control, { ...deep, version: 'champion' }] }), ['/arms']],
    [
      'a version that is nothing',
      abSpec({ arms: [control, { ...deep, version: 'sha256:12' }] }),
      ['/arms/1/version'],
    ],
    [
      'a version twice',
      abSpec({
        arms: [control, { ...deep, weightBp: 2500 }, { ...deep, name: 'again', weightBp: 2500 }],
      }),
      ['/arms/2/version'],
    ],
    ['a weight under a bandit', { ...abSpec(), policy: THOMPSON }, ['/arms/0/weight', '/arms/1/weight']],
    ['a floor of all traffic', banditSpec({ ...THOMPSON, floor: 1 }), ['/policy/floor']],
    ['no floor: nothing could be evaluated', banditSpec({ ...THOMPSON, floor: 0 }), ['/policy/floor']],
    ['a discount that forgets at once', banditSpec({ ...THOMPSON, gamma: 0.5 }), ['/policy/gamma']],
    ['a step of nothing', banditSpec({ ...THOMPSON, stepBp: 0 }), ['/policy/step']],
    ['a context twice', banditSpec({ ...LINUCB, context: ['age', 'age'] }), ['/policy/context/1']],
    ['no ridge', banditSpec({ ...LINUCB, ridge: 0 }), ['/policy/ridge']],
    ['NaN everywhere', abSpec({ alpha: NaN, minimumEffect: NaN }), ['/alpha', '/minimumEffect']],
    ['an end before the rewards', abSpec({ maxDurationMs: 1000 }), ['/maxDuration']],
  ];
  for (const [what, spec, paths] of wrong) {
    it(`names the place of ${what}`, () => {
      assert.deepEqual(
        checkExperiment(spec).map(({ path }) => path),
        paths,
      );
    });
  }
});

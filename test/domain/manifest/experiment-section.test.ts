import { strict as assert } from 'node:assert';
import { describe, it } from 'mocha';
import { checkExperiments, parseExperiments } from '../../../domain/manifest/experiment-section.ts';
import type { ExperimentDocument } from '../../../domain/manifest/experiment-section.ts';

const AB: ExperimentDocument = {
  name: 'prices',
  arms: [
    { name: 'a', version: 'champion', weight: 66.67 },
    { name: 'b', version: 'sha256:5f1d0c2ab9e4', weight: 33.33 },
  ],
};
const BANDIT: ExperimentDocument = {
  name: 'bandit',
  policy: { kind: 'bandit' },
  arms: [
    { name: 'a', version: 'champion' },
    { name: 'b', version: 'next' },
  ],
};

function problems(...documents: readonly ExperimentDocument[]): readonly string[] {
  const found: string[] = [];
  checkExperiments(documents, ['nswdemand'], (path, reason) => found.push(`${path}: ${reason}`));
  return found;
}

describe('spec.experiments', () => {
  it('what is left out has the documented default', () => {
    const [ab, bandit] = parseExperiments([AB, BANDIT]);
    assert.deepEqual(ab, {
      name: 'prices',
      hypothesis: null,
      policy: { kind: 'ab' },
      arms: [
        { name: 'a', version: 'champion', weightBp: 6667 },
        { name: 'b', version: '5f1d0c2ab9e4', weightBp: 3333 },
      ],
      metric: { kind: 'conversion', absent: 'unknown' },
      alpha: 0.05,
      minimumEffect: 0.01,
      minSamples: 1000,
      maxDurationMs: 14 * 86_400_000,
      rewardWindowMs: 86_400_000,
      leaseMs: 300_000,
    });
    assert.deepEqual(bandit?.policy, {
      kind: 'bandit',
      algorithm: 'discounted-thompson',
      gamma: 0.9999,
      floor: 0.05,
      stepBp: 1000,
    });
    assert.deepEqual(problems(AB, BANDIT), []);
  });

  const wrong: readonly (readonly [ExperimentDocument, RegExp])[] = [
    [{ ...AB, name: 'bandit' }, /^\/spec\/experiments\/1\/name: bandit is there already/],
    [
      { ...AB, arms: [AB.arms[1]!, { ...AB.arms[1]!, name: 'c' }] },
      /0\/arms: exactly one arm must be the champion/,
    ],
    [{ ...AB, arms: AB.arms.map((arm) => ({ ...arm, weight: 40 })) }, /0\/arms: the weights must add up/],
    [{ ...AB, minEffect: 2 }, /0\/minEffect: must be between 0 and 1/],
    [{ ...AB, lease: '1s' }, /0\/lease: must be 10s to 3600s/],
    [{ ...AB, maxDuration: 'long' }, /0\/maxDuration: must be a duration/],
    [{ ...AB, maxDuration: '1h' }, /0\/maxDuration: must not be shorter than the reward window/],
    [{ ...AB, policy: { kind: 'ab', gamma: 0.9 } }, /0\/policy\/gamma: means nothing to ab/],
    [
      { ...BANDIT, policy: { kind: 'bandit', algorithm: 'ucb', epsilon: 0.1 } },
      /policy\/epsilon: means nothing to ucb/,
    ],
    [{ ...BANDIT, arms: AB.arms }, /arms\/0\/weight: a bandit sets the shares itself/],
    [
      { ...BANDIT, policy: { kind: 'bandit', algorithm: 'linucb', context: ['price'] } },
      /policy\/context\/0: price is no feature of this model/,
    ],
    [{ ...BANDIT, policy: { kind: 'bandit', algorithm: 'linucb' } }, /policy\/context: must name 1 to 64/],
  ];
  for (const [document, expected] of wrong) {
    it(`is refused: ${expected.source}`, () => {
      const found =
        document.name === 'bandit' && document.arms === AB.arms && document.policy === undefined
          ? problems(BANDIT, document)
          : problems(document);
      assert.ok(
        found.some((line) => expected.test(line) || expected.test(line.replace('/spec/experiments/', ''))),
        found.join('\n'),
      );
    });
  }
});

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, it } from 'mocha';
import { bestArmProbabilities } from '../../../domain/experiments/best-arm.ts';
import type { RewardTotals } from '../../../domain/experiments/bounded-mean.ts';
import { addReward, meanInterval, NO_REWARDS } from '../../../domain/experiments/bounded-mean.ts';
import { differenceLogE } from '../../../domain/experiments/difference.ts';
import { projectRoot } from '../../../platform/root.ts';
import { runPython, scipyPython } from '../../support/python.ts';
import type { Rng } from '../../support/rng.ts';
import { createRng } from '../../support/rng.ts';

interface Case {
  readonly question: { readonly kind: string };
  readonly ours: readonly number[];
  readonly tolerance: number;
}

const REFERENCE = join(projectRoot(), 'test/domain/experiments/reference/experiments_reference.py');

describe('experiments agree with NumPy and SciPy', () => {
  let theirs: readonly (readonly number[])[] = [];
  const rng = createRng(20_260_404);
  const cases = Array.from({ length: 60 }, () => [meanCase(rng), differenceCase(rng), bestCase(rng)]).flat();

  before(async function () {
    // The first run on a machine installs NumPy and SciPy.
    this.timeout(600_000);
    const questions = JSON.stringify(cases.map(({ question }) => question));
    theirs = JSON.parse(await runPython(await scipyPython(), [REFERENCE], questions)) as typeof theirs;
  });

  for (const kind of ['mean', 'difference', 'best']) {
    it(`${kind}: 60 seeded cases`, () => {
      let seen = 0;
      cases.forEach(({ question, ours, tolerance }, index) => {
        if (question.kind !== kind) return;
        seen += 1;
        const reference = theirs[index] as readonly number[];
        assert.equal(ours.length, reference.length);
        ours.forEach((value, at) => {
          const close =
            Math.abs(value - (reference[at] as number)) <= tolerance * Math.max(1, Math.abs(value));
          assert.ok(close, `${value} and ${reference[at]} for ${JSON.stringify(question)}`);
        });
      });
      assert.equal(seen, 60);
    });
  }
});

function draw(rng: Rng, metric: 'conversion' | 'reward', count: number): readonly number[] {
  const rate = rng.next();
  return Array.from({ length: count }, () =>
    metric === 'conversion' ? (rng.chance(rate) ? 1 : 0) : rate * rng.next(),
  );
}

function totals(rewards: readonly number[]): RewardTotals {
  return rewards.reduce(addReward, NO_REWARDS);
}

function meanCase(rng: Rng): Case {
  const metric = rng.chance(0.5) ? 'conversion' : 'reward';
  const alpha = [0.001, 0.05, 0.2][rng.integer(3)] as number;
  const rewards = draw(rng, metric, 1 + rng.integer(400));
  const { lower, upper } = meanInterval(metric, totals(rewards), alpha);
  return {
    question: { kind: 'mean', metric, alpha, rewards } as Case['question'],
    ours: [lower, upper],
    tolerance: 1e-9,
  };
}

function differenceCase(rng: Rng): Case {
  const metric = rng.chance(0.5) ? 'conversion' : 'reward';
  const segments = Array.from({ length: 1 + rng.integer(3) }, () => ({
    share: 0.05 + 0.9 * rng.next(),
    arm: draw(rng, metric, rng.integer(200)),
    control: draw(rng, metric, rng.integer(200)),
  }));
  const added = segments.map(({ share, arm, control }) => ({
    share,
    arm: totals(arm),
    control: totals(control),
  }));
  const ours = [-0.1, 0, 0.2].flatMap((difference) =>
    ([1, -1] as const).map((direction) => differenceLogE(metric, added, difference, direction)),
  );
  return { question: { kind: 'difference', metric, segments } as Case['question'], ours, tolerance: 1e-9 };
}

function bestCase(rng: Rng): Case {
  const posteriors = Array.from({ length: 2 + rng.integer(5) }, () => {
    const count = 10 ** (4 * rng.next());
    const rate = 0.05 + 0.1 * rng.next();
    return { a: 1 + count * rate, b: 1 + count * (1 - rate) };
  });
  const question = { kind: 'best', posteriors: posteriors.map(({ a, b }) => [a, b]) } as Case['question'];
  return { question, ours: bestArmProbabilities(posteriors), tolerance: 1e-7 };
}

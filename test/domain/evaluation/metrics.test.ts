import { strict as assert } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import {
  accuracy,
  auc,
  bootstrap,
  logLoss,
  noChangeAccuracy,
  pairedDifference,
  quantile,
} from '../../../domain/evaluation/metrics.ts';
import type { Scored } from '../../../domain/evaluation/metrics.ts';
import { seededRandom } from '../../../domain/evaluation/random.ts';
import { projectRoot } from '../../../platform/root.ts';
import { scipyPython } from '../../support/python.ts';

function sample(n: number, seed: number, strength: number): Scored {
  const random = seededRandom(seed);
  const labels = Uint8Array.from({ length: n }, () => (random() < 0.4 ? 1 : 0));
  // Rounded, so that there are ties.
  const scores = Float64Array.from(
    labels,
    (label) => Math.round((random() * (1 - strength) + label * strength) * 50) / 50,
  );
  return { scores, labels };
}

const options = (seed: number) => ({
  random: seededRandom(seed),
  resamples: 400,
  confidence: 0.95,
  blockLength: 5,
});

describe('offline metrics', () => {
  it('agree with SciPy and NumPy to 1e-12, ties included', async () => {
    const python = await scipyPython();
    const script = join(projectRoot(), 'test/domain/evaluation/reference/metrics_reference.py');
    for (const [seed, strength] of [
      [1, 0.1],
      [2, 0.5],
      [3, 0],
    ] as const) {
      const { scores, labels } = sample(997, seed, strength);
      const p = [0, 0.025, 0.31, 0.5, 0.975, 1];
      const input = JSON.stringify({ scores: [...scores], labels: [...labels], p });
      const expected = JSON.parse(execFileSync(python, [script], { input, encoding: 'utf8' })) as Record<
        string,
        number
      > & { quantiles: number[] };
      const close = (name: string, actual: number): void =>
        assert.ok(
          Math.abs(actual - expected[name]!) <= 1e-12 * Math.max(1, Math.abs(actual)),
          `${name}: ${actual} against ${expected[name]}`,
        );
      close('accuracy', accuracy({ scores, labels }));
      close('auc', auc({ scores, labels }));
      close('logLoss', logLoss({ scores, labels }));
      close('noChange', noChangeAccuracy(labels));
      const sorted = scores.slice().sort();
      p.forEach((at, i) => assert.ok(Math.abs(quantile(sorted, at) - expected.quantiles[i]!) < 1e-12));
    }
  });

  it('an interval contains its point, and is the same for the same seed', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e6 }), (seed) => {
        const drawn = sample(300, seed, 0.3);
        const first = bootstrap(drawn, accuracy, options(seed));
        assert.deepEqual(bootstrap(drawn, accuracy, options(seed)), first);
        assert.ok(first.lower <= first.value && first.value <= first.upper);
      }),
      { numRuns: 20 },
    );
  });

  it('a paired difference sees what unpaired intervals cannot: the same rows cancel', () => {
    const champion = sample(2000, 7, 0.2);
    const scores = champion.scores.slice();
    // The candidate is right on forty rows where the champion is wrong, and nowhere worse.
    let mended = 0;
    for (let i = 0; i < scores.length && mended < 40; i++) {
      if ((scores[i]! >= 0.5 ? 1 : 0) === champion.labels[i]) continue;
      scores[i] = champion.labels[i]!;
      mended++;
    }
    const candidate = { scores, labels: champion.labels };
    const delta = pairedDifference(candidate, champion, accuracy, options(1));
    assert.equal(delta.value.toFixed(3), '0.020');
    assert.ok(delta.lower > 0, `lower bound ${delta.lower}`);
    const [mine, theirs] = [
      bootstrap(candidate, accuracy, options(1)),
      bootstrap(champion, accuracy, options(1)),
    ];
    assert.ok(mine.lower < theirs.upper, 'the unpaired intervals overlap');
  });

  it('covers the truth about as often as it says', () => {
    let covered = 0;
    const runs = 200;
    for (let seed = 1; seed <= runs; seed++) {
      const random = seededRandom(seed * 7919);
      const labels = new Uint8Array(400).fill(1);
      const scores = Float64Array.from(labels, () => (random() < 0.8 ? 1 : 0));
      const { lower, upper } = bootstrap({ scores, labels }, accuracy, { ...options(seed), blockLength: 1 });
      if (lower <= 0.8 && 0.8 <= upper) covered++;
    }
    // 95 % nominal; five binomial standard deviations below is 87 %.
    assert.ok(covered / runs > 0.87, `covered ${covered} of ${runs}`);
  });

  it('an AUC of one class only is not a number, so a gate on it cannot pass', () => {
    assert.ok(Number.isNaN(auc({ scores: Float64Array.of(0.1, 0.9), labels: Uint8Array.of(1, 1) })));
  });
});

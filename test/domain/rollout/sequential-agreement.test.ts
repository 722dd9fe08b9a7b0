import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, it } from 'mocha';
import { binomialLogE, ratioLogE } from '../../../domain/rollout/e-process.ts';
import { comparisonOf, regressionLogE, safetyLogE } from '../../../domain/rollout/guardrail-tests.ts';
import { sampleRatioLogE } from '../../../domain/rollout/sample-ratio.ts';
import { GUARDRAIL_NAMES } from '../../../domain/manifest/model-manifest.ts';
import { projectRoot } from '../../../platform/root.ts';
import { runPython, scipyPython } from '../../support/python.ts';
import { createRng } from '../../support/rng.ts';
import type { Rng } from '../../support/rng.ts';
import { closeLogs, guardrail, segment } from './evidence-fixture.ts';

/** A question for the reference, and our answer. */
interface Case {
  readonly question: object;
  readonly ours: number;
}

const SHARES = [0.0001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.5, 0.9];
const REFERENCE = join(projectRoot(), 'test/domain/rollout/reference/sequential_reference.py');

describe('e-values agree with NumPy and SciPy to nine digits', () => {
  let theirs: readonly number[] = [];
  const cases = allCases();

  before(async function () {
    // The first run on a machine installs NumPy and SciPy.
    this.timeout(600_000);
    const questions = JSON.stringify(cases.map(({ question }) => question));
    theirs = JSON.parse(await runPython(await scipyPython(), [REFERENCE], questions)) as readonly number[];
  });

  for (const kind of ['ratio', 'binomial', 'regression', 'safety', 'sampleRatio']) {
    it(`${kind}: 400 seeded cases`, () => {
      let seen = 0;
      assert.equal(theirs.length, cases.length);
      cases.forEach(({ question, ours }, index) => {
        if ((question as { kind: string }).kind !== kind) return;
        seen += 1;
        const reference = theirs[index] as number;
        assert.ok(closeLogs(ours, reference), `${ours} and ${reference} for ${JSON.stringify(question)}`);
      });
      assert.equal(seen, 400);
    });
  }
});

function allCases(): readonly Case[] {
  const rng = createRng(20_260_101);
  return Array.from({ length: 400 }, () => [
    ratioCase(rng),
    binomialCase(rng),
    guardrailCase(rng, 'regression'),
    guardrailCase(rng, 'safety'),
    sampleRatioCase(rng),
  ]).flat();
}

function ratioCase(rng: Rng): Case {
  const events = Array.from({ length: rng.integer(4) + 1 }, () => ({
    share: pick(rng, SHARES),
    candidateBad: size(rng),
    championBad: size(rng),
  }));
  const bound = 1 + rng.next() * 2;
  const alternatives = rng.chance(0.5) ? [bound * 1.5, bound * 3, bound * 20] : [0.25, 0.9, bound * 0.999];
  return {
    question: {
      kind: 'ratio',
      events: events.map((event) => [event.share, event.candidateBad, event.championBad]),
      null: bound,
      alternatives,
    },
    ours: ratioLogE(events, bound, alternatives),
  };
}

function binomialCase(rng: Rng): Case {
  const trials = size(rng) + 1;
  const bad = rng.binomial(trials, rng.next() ** 3);
  const bound = 0.0001 + rng.next() * 0.4;
  const alternatives = rng.chance(0.5) ? [bound * 1.5, bound * 2.4] : [0, bound / 10, bound / 2];
  return {
    question: { kind: 'binomial', trials, bad, null: bound, alternatives },
    ours: binomialLogE(trials, bad, bound, alternatives),
  };
}

function guardrailCase(rng: Rng, kind: 'regression' | 'safety'): Case {
  const name = pick(rng, GUARDRAIL_NAMES);
  const spec = guardrail(name, {
    tolerance: rng.next(),
    margin: 1.05 + rng.next() * 3,
    negligibleRate: pick(rng, [0.00005, 0.001, 0.02, 0.3, 0.7]),
  });
  const segments = Array.from({ length: rng.integer(3) + 1 }, () => {
    const requests = size(rng);
    const others = size(rng);
    const own = rng.binomial(requests, rng.next() ** 4);
    const other = rng.binomial(others, rng.next() ** 4);
    const all = (trials: number, bad: number): object => {
      const counted = { requests: trials, pairs: trials, labelled: trials };
      return { ...counted, errors: bad, slow: bad, invalid: bad, diverged: bad, wrong: bad };
    };
    return {
      requests,
      own,
      other,
      evidence: segment(pick(rng, SHARES), all(requests, own), all(others, other)),
    };
  });
  const evidence = segments.map((each) => each.evidence);
  return {
    question: {
      kind,
      absolute: comparisonOf(name) === 'rate',
      tolerance: spec.tolerance,
      margin: spec.margin,
      negligible: spec.negligibleRate,
      events: segments.map((each) => [each.evidence.share, each.own, each.other]),
      trials: segments.reduce((sum, each) => sum + each.requests, 0),
      bad: segments.reduce((sum, each) => sum + each.own, 0),
    },
    ours: kind === 'regression' ? regressionLogE(spec, evidence) : safetyLogE(spec, evidence),
  };
}

/** Distinct shares: the reference does not add up segments of equal share. */
function sampleRatioCase(rng: Rng): Case {
  const shares = [...new Set(SHARES)].filter(() => rng.chance(0.4));
  const totals = shares.map((share) => {
    const requests = size(rng) * 10;
    const candidate = rng.binomial(requests, Math.min(1, share * (0.9 + rng.next() * 0.2)));
    return { share, candidate, champion: requests - candidate };
  });
  return {
    question: {
      kind: 'sampleRatio',
      totals: totals.map(({ share, candidate, champion }) => [share, candidate, champion]),
    },
    ours: sampleRatioLogE(totals),
  };
}

/** 0 to about 20,000, with as many small as large. */
function size(rng: Rng): number {
  return Math.floor(Math.exp(rng.next() * 10) - 1);
}

function pick<T>(rng: Rng, from: readonly T[]): T {
  return from[rng.integer(from.length)] as T;
}

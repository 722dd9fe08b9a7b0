import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';
import { SlipwayError } from '../../../domain/errors.ts';
import { GUARDRAIL_NAMES } from '../../../domain/manifest/model-manifest.ts';
import type { GuardrailName, GuardrailSpec } from '../../../domain/manifest/model-manifest.ts';
import { addCounts, eventsOf } from '../../../domain/rollout/evidence.ts';
import type { ArmCounts, Segment } from '../../../domain/rollout/evidence.ts';
import {
  comparisonOf,
  guardrailsFor,
  readings,
  regressionLogE,
  safetyLogE,
} from '../../../domain/rollout/guardrail-tests.ts';
import { arbitraryGuardrail, arbitrarySegment, closeLogs, guardrail, segment } from './evidence-fixture.ts';

describe('guardrail tests: which guardrail where', () => {
  const all = GUARDRAIL_NAMES.map((name) => guardrail(name));
  const names = (guardrails: readonly GuardrailSpec[]): readonly GuardrailName[] =>
    guardrails.map(({ name }) => name);

  it('divergence is measured in a shadow only, labels in a canary only', () => {
    assert.deepEqual(names(guardrailsFor('shadow', all)), ['errors', 'slow', 'invalid', 'diverged']);
    assert.deepEqual(names(guardrailsFor('canary', all)), ['errors', 'slow', 'invalid', 'wrong']);
    assert.deepEqual(guardrailsFor('canary', [guardrail('diverged')]), []);
  });

  it('an unknown guardrail is an error, never "no test"', () => {
    const unknown = { ...guardrail('errors'), name: 'cost' as GuardrailName };
    const refused = (error: unknown): boolean =>
      error instanceof SlipwayError && /"cost"/.test(error.message);
    assert.throws(() => guardrailsFor('canary', [unknown]), refused);
    assert.throws(() => readings([], [unknown]), refused);
    assert.throws(() => comparisonOf('cost' as GuardrailName), refused);
  });
});

describe('guardrail tests: laws of evidence', () => {
  const segments = fc.array(arbitrarySegment, { minLength: 1, maxLength: 5 });

  it('no data is no evidence: both e-values are exactly 1', () => {
    fc.assert(
      fc.property(arbitraryGuardrail, (spec) => {
        for (const none of [[], [segment(0.1, {}, {})]]) {
          assert.equal(regressionLogE(spec, none), 0);
          assert.equal(safetyLogE(spec, none), 0);
        }
      }),
    );
  });

  it('every e-value is a finite number, so a reading survives JSON', () => {
    fc.assert(
      fc.property(arbitraryGuardrail, segments, (spec, evidence) => {
        const [reading] = readings(evidence, [spec]);
        assert.ok(Number.isFinite(reading?.logRegression) && Number.isFinite(reading?.logSafety));
      }),
    );
  });

  it('the order of segments, and cutting one into two of the same share, changes nothing', () => {
    fc.assert(
      fc.property(arbitraryGuardrail, segments, arbitrarySegment, (spec, evidence, extra) => {
        const first = evidence[0] as Segment;
        const rest = evidence.slice(1);
        const cut = [{ ...extra, share: first.share }, ...rest, first];
        const merged = [
          {
            share: first.share,
            champion: addCounts(first.champion, extra.champion),
            candidate: addCounts(first.candidate, extra.candidate),
          },
          ...rest,
        ];
        for (const logE of [regressionLogE, safetyLogE]) {
          assert.ok(closeLogs(logE(spec, cut), logE(spec, merged)));
          assert.ok(closeLogs(logE(spec, cut), logE(spec, cut.toReversed())));
        }
      }),
    );
  });

  it('one more bad answer of the candidate never speaks for it; one more of the champion never against it', () => {
    fc.assert(
      fc.property(arbitraryGuardrail, segments, (spec, evidence) => {
        const first = evidence[0] as Segment;
        for (const arm of [first.candidate, first.champion]) {
          const { trials, bad } = eventsOf(spec.name, arm);
          fc.pre(bad < trials);
        }
        const worse = (arm: 'candidate' | 'champion'): Segment[] => [
          { ...first, [arm]: oneMoreBad(spec.name, first[arm]) },
          ...evidence.slice(1),
        ];
        assert.ok(regressionLogE(spec, worse('candidate')) > regressionLogE(spec, evidence));
        // Not strictly: evidence that is refuted already (0, or nearly) can't fall further in double precision.
        assert.ok(safetyLogE(spec, worse('candidate')) <= safetyLogE(spec, evidence));
        assert.ok(regressionLogE(spec, worse('champion')) <= regressionLogE(spec, evidence));
        assert.ok(safetyLogE(spec, worse('champion')) >= safetyLogE(spec, evidence));
      }),
    );
  });
});

describe('guardrail tests: what a ratio cannot say', () => {
  const clean = [segment(0.1, { requests: 6000 }, { requests: 54_000 })];

  it('with no bad event on either arm only the negligible rate proves safety', () => {
    // 6,000 good answers against 1 in 1,000: (1 / 0.999)^6000 / 4 alternatives / 2 tests = e^6.003 / 8, and the rest.
    assert.ok(safetyLogE(guardrail('errors'), clean) > Math.log(20));
    assert.equal(safetyLogE(guardrail('errors', { negligibleRate: 0 }), clean), 0);
  });

  it('a candidate that is rare but many times worse is a regression, negligible or not', () => {
    const rare = [segment(0.5, { requests: 1_000_000, errors: 40 }, { requests: 1_000_000, errors: 1 })];
    assert.ok(regressionLogE(guardrail('errors'), rare) > Math.log(1000));
  });

  it('divergence is held against the noise floor, not against the champion', () => {
    const spec = guardrail('diverged', { negligibleRate: 0.01 });
    assert.ok(regressionLogE(spec, [segment(0.5, { pairs: 200, diverged: 20 }, {})]) > Math.log(400));
    assert.ok(safetyLogE(spec, [segment(0.5, { pairs: 2000, diverged: 8 }, {})]) > Math.log(20));
    assert.ok(safetyLogE(spec, [segment(0.5, { pairs: 2000, diverged: 40 }, {})]) < 0);
  });

  it('a noise floor whose bounds pass 1 still gives tests that can fail', () => {
    const spec = guardrail('diverged', { negligibleRate: 0.9, tolerance: 0.5, margin: 2 });
    assert.ok(regressionLogE(spec, [segment(0.5, { pairs: 5000, diverged: 5000 }, {})]) > Math.log(400));
    assert.ok(safetyLogE(spec, [segment(0.5, { pairs: 5000, diverged: 5000 }, {})]) < 0);
  });
});

describe('guardrail tests: impossible input throws instead of deciding', () => {
  const refused = (run: () => unknown, says: RegExp): void =>
    assert.throws(run, (error) => error instanceof SlipwayError && says.test(error.message));

  it('specifications', () => {
    refused(() => readings([], [guardrail('errors', { margin: 1 })]), /margin must be above 1/);
    refused(() => readings([], [guardrail('errors', { tolerance: -0.1 })]), /tolerance must be 0 or more/);
    refused(() => readings([], [guardrail('errors', { tolerance: Number.NaN })]), /tolerance/);
    refused(() => readings([], [guardrail('errors', { negligibleRate: 1 })]), /below 1/);
    refused(() => readings([], [guardrail('diverged', { negligibleRate: 0 })]), /above 0/);
  });

  it('counts', () => {
    const errors = [guardrail('errors')];
    refused(() => readings([segment(0.1, { requests: 5, errors: 6 }, {})], errors), /6 of 5/);
    refused(() => readings([segment(0.1, {}, { requests: 5, errors: -1 })], errors), /champion/);
    refused(() => readings([segment(0.1, { requests: Number.NaN }, {})], errors), /NaN/);
    refused(() => readings([segment(1.1, {}, {})], errors), /share/);
  });
});

function oneMoreBad(name: GuardrailName, arm: ArmCounts): ArmCounts {
  return { ...arm, [name]: arm[name] + 1 };
}

import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';
import { SlipwayError } from '../../../domain/errors.ts';
import type { GuardrailName } from '../../../domain/manifest/model-manifest.ts';
import { eventsOf } from '../../../domain/rollout/evidence.ts';
import { comparisonOf, guardrailsFor } from '../../../domain/rollout/guardrail-tests.ts';
import { judgeStep } from '../../../domain/rollout/judge.ts';
import type { StepEvidence } from '../../../domain/rollout/judge.ts';
import { arbitraryGuardrail, arbitrarySegment, guardrail, healthyStep, segment } from './evidence-fixture.ts';

const verdictOf = (changed: Partial<StepEvidence>): string =>
  judgeStep(healthyStep(changed))?.verdict ?? 'CONTINUE';
const reasonOf = (changed: Partial<StepEvidence>): string => judgeStep(healthyStep(changed))?.reason ?? '';

const RUINED = [segment(0.1, { requests: 20_000, errors: 900 }, { requests: 180_000, errors: 900 })];

describe('judge: a candidate that hurts is stopped', () => {
  it('by the regression alarm, with counts and e-value in one sentence', () => {
    const segments = [segment(0.05, { requests: 210, errors: 14 }, { requests: 4020, errors: 3 })];
    const verdict = judgeStep(healthyStep({ segments, elapsedMs: 1000 }));
    assert.equal(verdict?.verdict, 'REGRESSION');
    assert.match(
      verdict.reason,
      /^errors: 14 of 210 on the candidate, 3 of 4,020 on the champion \(e = 1\.5e12 ≥ 100\)$/,
    );
    assert.deepEqual(verdict.readings[0]?.candidate, { trials: 210, bad: 14 });
  });

  it('by a breaker that tripped, at once and with no other evidence', () => {
    const reason = reasonOf({
      segments: [],
      tripped: '5 requests in a row failed',
      silentMs: Infinity,
      elapsedMs: 0,
    });
    assert.match(reason, /^a gateway took the candidate out of service: 5 requests in a row failed$/);
    assert.equal(verdictOf({ tripped: '' }), 'REGRESSION');
    assert.equal(verdictOf({ tripped: null }), 'PROVEN_SAFE');
  });

  it('before anything else is looked at: silence, a wrong split, the end of the step', () => {
    assert.equal(verdictOf({ segments: RUINED, silentMs: 600_000 }), 'REGRESSION');
    assert.equal(verdictOf({ segments: RUINED, elapsedMs: 3_600_000 }), 'REGRESSION');
    const lopsided = [segment(0.1, { requests: 9000, errors: 900 }, { requests: 180_000, errors: 900 })];
    assert.equal(verdictOf({ segments: lopsided }), 'REGRESSION');
  });

  it('with the alarm level divided by the number of guardrails', () => {
    // 4 bad events against 1 at a share of 10 %: e = 224.
    const segments = [segment(0.1, { requests: 100, errors: 4 }, { requests: 900, errors: 1 })];
    const alone = [guardrail('errors', { tolerance: 0 })];
    assert.equal(verdictOf({ segments, guardrails: alone }), 'REGRESSION');
    const three = [...alone, guardrail('slow'), guardrail('invalid')];
    assert.equal(verdictOf({ segments, guardrails: three }), 'CONTINUE');
    assert.equal(verdictOf({ segments, guardrails: alone, alphaRegression: 0.001 }), 'CONTINUE');
  });

  it('and the worst of several alarms is named', () => {
    const segments = [
      segment(0.1, { requests: 20_000, errors: 900, slow: 9000 }, { requests: 180_000, errors: 900 }),
    ];
    assert.match(reasonOf({ segments, guardrails: [guardrail('errors'), guardrail('slow')] }), /^slow: /);
  });
});

describe('judge: a split that is not the promised one ends the step', () => {
  it('of requests, with the numbers', () => {
    const segments = [segment(0.1, { requests: 18_000, errors: 90 }, { requests: 182_000, errors: 910 })];
    assert.equal(verdictOf({ segments }), 'INCONCLUSIVE');
    assert.match(
      reasonOf({ segments }),
      /^sample-ratio mismatch: the candidate got 18,000 of 200,000 requests where 20,000 were expected \(e = 1\.2e48 ≥ 1,000\), /,
    );
  });

  it('of labels: an always wrong candidate whose labels are lost must not look perfect', () => {
    const segments = [
      segment(
        0.1,
        { requests: 20_000, labelled: 40 },
        { requests: 180_000, labelled: 150_000, wrong: 30_000 },
      ),
    ];
    assert.equal(verdictOf({ segments, guardrails: [guardrail('wrong')] }), 'INCONCLUSIVE');
    assert.match(reasonOf({ segments, guardrails: [guardrail('wrong')] }), /40 of 150,040 labels/);
  });
});

describe('judge: silence', () => {
  it('9.9 s is normal, 10 s holds, 60 s is lost', () => {
    assert.equal(verdictOf({ silentMs: 9999 }), 'PROVEN_SAFE');
    assert.equal(verdictOf({ silentMs: 10_000 }), 'CONTINUE');
    assert.equal(verdictOf({ silentMs: 59_999 }), 'CONTINUE');
    assert.equal(verdictOf({ silentMs: 60_000 }), 'TELEMETRY_LOST');
    assert.equal(reasonOf({ silentMs: 61_500 }), 'no evidence has arrived for 61 s (limit 60 s)');
  });

  it('thresholds are inputs', () => {
    assert.equal(verdictOf({ silentMs: 3000, holdAfterMs: 3000 }), 'CONTINUE');
    assert.equal(verdictOf({ silentMs: 5000, lostAfterMs: 5000 }), 'TELEMETRY_LOST');
  });

  it('a step that never had any evidence is lost, not passed', () => {
    assert.equal(verdictOf({ segments: [], silentMs: 60_000, elapsedMs: 60_000 }), 'TELEMETRY_LOST');
  });
});

describe('judge: proof needs everything', () => {
  it('a candidate as good as the champion is proven, and the reason says on what', () => {
    const verdict = judgeStep(healthyStep());
    assert.equal(verdict?.verdict, 'PROVEN_SAFE');
    assert.match(
      verdict.reason,
      /^proven safe after 600 s and 20,000 candidate requests: errors: 100 of 20,000 on the candidate, 900 of 180,000 on the champion \(e = .* ≥ 20\)$/,
    );
  });

  it('not before minDuration, not below minSamples', () => {
    assert.equal(verdictOf({ elapsedMs: 59_999 }), 'CONTINUE');
    assert.equal(verdictOf({ minSamples: 20_001 }), 'CONTINUE');
    assert.match(
      reasonOf({ minSamples: 20_001, elapsedMs: 3_600_000 }),
      /^not proven safe within 3,600 s: 20,000 of at least 20,001 candidate requests$/,
    );
  });

  it('with no guardrail that applies, nothing is ever proven', () => {
    for (const guardrails of [[], [guardrail('diverged')]]) {
      assert.equal(verdictOf({ guardrails }), 'CONTINUE');
      assert.equal(verdictOf({ guardrails, elapsedMs: 3_600_000 }), 'INCONCLUSIVE');
      assert.match(reasonOf({ guardrails, elapsedMs: 3_600_000 }), /no guardrail applies to a canary step/);
    }
  });

  it('one guardrail without proof is enough to go on, and is named at the end', () => {
    const guardrails = [guardrail('errors'), guardrail('slow', { negligibleRate: 0 })];
    assert.equal(verdictOf({ guardrails }), 'CONTINUE');
    assert.match(
      reasonOf({ guardrails, elapsedMs: 3_600_000 }),
      /^not proven safe within 3,600 s: slow: 0 of 20,000 on the candidate, 0 of 180,000 on the champion \(e = 1 < 20\)$/,
    );
  });

  it('labels that never arrive are said to be missing', () => {
    const guardrails = [guardrail('errors'), guardrail('wrong')];
    assert.equal(verdictOf({ guardrails, elapsedMs: 3_600_000 }), 'INCONCLUSIVE');
    assert.match(
      reasonOf({ guardrails, elapsedMs: 3_600_000 }),
      /: wrong: no labels have arrived for the candidate$/,
    );
  });

  it('at full traffic there is no champion to compare with: an absolute rate still can be proven', () => {
    const guardrails = [guardrail('errors')];
    assert.equal(
      verdictOf({ guardrails, segments: [segment(1, { requests: 9000, errors: 1 }, {})] }),
      'PROVEN_SAFE',
    );
    assert.equal(
      verdictOf({ guardrails, segments: [segment(1, { requests: 9000, errors: 45 }, {})] }),
      'CONTINUE',
    );
  });
});

describe('judge: never PROVEN_SAFE with something missing', () => {
  it('whatever the evidence is', () => {
    let proven = 0;
    fc.assert(
      fc.property(
        fc.array(arbitraryGuardrail, { maxLength: 5 }),
        fc.array(arbitrarySegment, { maxLength: 3 }),
        fc.constantFrom('shadow' as const, 'canary' as const),
        fc.nat(100_000),
        fc.nat(100_000),
        fc.nat(20_000),
        (guardrails, arbitrary, kind, elapsedMs, silentMs, minSamples) => {
          // The split is made right, so that the sample-ratio check does not hide the rest.
          const segments = arbitrary.map(({ champion, candidate }) => {
            const small = { ...champion, requests: candidate.requests, labelled: candidate.labelled };
            return { share: 0.5, champion: { ...champion, ...small }, candidate };
          });
          const valid = segments.every(({ champion }) =>
            (['errors', 'slow', 'invalid', 'wrong'] as const).every((name) => {
              const { trials, bad } = eventsOf(name, champion);
              return bad <= trials;
            }),
          );
          fc.pre(valid);
          const times = { minDurationMs: 30_000, maxDurationMs: 90_000, elapsedMs, silentMs };
          const verdict = judgeStep({ segments, guardrails, kind, minSamples, ...times });
          if (verdict?.verdict !== 'PROVEN_SAFE') return;
          proven += 1;
          const applicable = guardrailsFor(kind, guardrails);
          assert.ok(applicable.length > 0);
          assert.ok(elapsedMs >= 30_000 && silentMs < 10_000);
          const requests = segments.reduce((sum, { candidate }) => sum + candidate.requests, 0);
          assert.ok(requests >= minSamples && requests > 0);
          for (const { name } of applicable) {
            const reading = verdict.readings.find((each) => each.guardrail === name);
            assert.ok(reading !== undefined && reading.candidate.trials > 0, `${name} on the candidate`);
            assert.ok(
              comparisonOf(name) === 'rate' || reading.champion.trials > 0,
              `${name} on the champion`,
            );
          }
          for (const reading of verdict.readings) assert.ok(reading.logSafety >= Math.log(20));
        },
      ),
      { numRuns: 3000, seed: 1 },
    );
    assert.ok(proven > 20, `the property was put to the test by ${proven} proven steps only`);
  });

  it("taking away any one guardrail's data from a proven step unproves it", () => {
    const good = { requests: 100_000, labelled: 50_000, pairs: 50_000 };
    const full = { ...healthyStep(), minDurationMs: 0 };
    for (const kind of ['shadow', 'canary'] as const) {
      const names: GuardrailName[] = ['errors', kind === 'shadow' ? 'diverged' : 'wrong'];
      const guardrails = names.map((name) => guardrail(name));
      const step = (candidate: object, champion: object): string =>
        judgeStep({ ...full, kind, guardrails, segments: [segment(0.5, candidate, champion)] })?.verdict ??
        'CONTINUE';
      assert.equal(step(good, good), 'PROVEN_SAFE');
      for (const field of ['requests', kind === 'shadow' ? 'pairs' : 'labelled']) {
        assert.notEqual(step({ ...good, [field]: 0 }, good), 'PROVEN_SAFE');
        if (field !== 'pairs') assert.notEqual(step(good, { ...good, [field]: 0 }), 'PROVEN_SAFE');
      }
    }
  });
});

describe('judge: wrong input throws instead of deciding', () => {
  it('NaN and negative quantities, impossible levels', () => {
    const refused = (changed: Partial<StepEvidence>, says: RegExp): void => {
      assert.throws(
        () => judgeStep(healthyStep(changed)),
        (error) =>
          error instanceof SlipwayError && error.code === 'INVALID_PARAMETER' && says.test(error.message),
      );
    };
    refused({ silentMs: Number.NaN }, /silentMs must be 0 or more, not NaN/);
    refused({ elapsedMs: -1 }, /elapsedMs/);
    refused({ minSamples: Number.NaN }, /minSamples/);
    refused({ minDurationMs: Number.NaN }, /minDurationMs/);
    refused({ alphaSafety: 0 }, /alphaSafety must be between 0 and 1/);
    refused({ alphaRegression: 1 }, /alphaRegression/);
    refused({ alphaSampleRatio: Number.NaN }, /alphaSampleRatio/);
  });

  it('the same input gives the same verdict, and input is not touched', () => {
    const input = healthyStep();
    const before = structuredClone(input);
    assert.deepEqual(judgeStep(input), judgeStep(input));
    assert.deepEqual(input, before);
  });
});

import { strict as assert } from 'node:assert';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';

import type { EvidenceDocument } from '../../domain/evaluation/evidence-document.ts';
import { evaluateGates, gateProblem } from '../../platform/gates.ts';

const estimate = (lower: number) => ({ value: lower + 0.02, lower, upper: lower + 0.04 });
const evidence: EvidenceDocument = {
  candidate: { rows: 1000, accuracy: estimate(0.7), auc: estimate(0.8), logLoss: estimate(0.4) },
  comparison: { champion: 'sha256:x', rows: 1000, accuracyDelta: estimate(0.01), aucDelta: estimate(-0.03) },
  baseline: { noChangeAccuracy: 0.6 },
  golden: { rows: 100, maxAbsError: 1e-7 },
  latency: { p50Ms: 0.2, p99Ms: 1.5 },
  size: { bytes: 250_000 },
  data: { digest: 'sha256:y', rows: 17_000 },
};
const { comparison: _, ...bootstrap } = evidence;

const passes = (expression: string, document: EvidenceDocument = evidence): boolean =>
  evaluateGates([{ name: 'gate', expression, severity: 'deny', message: 'no' }], document)[0]?.passed ??
  false;

describe('gates fail closed', () => {
  it('only true passes', () => {
    assert.equal(passes('evidence.candidate.auc.lower >= 0.75'), true);
    assert.equal(passes('evidence.candidate.auc.lower >= 0.85'), false);
    assert.equal(passes('evidence.size.bytes <= 10 * 1024 * 1024'), true);
    assert.equal(passes('evidence.candidate.accuracy.lower > evidence.baseline.noChangeAccuracy'), true);
  });

  it('missing evidence denies, whatever the gate wanted of it', () => {
    assert.equal(passes('evidence.comparison.accuracyDelta.lower > -1.0', bootstrap), false);
    assert.equal(passes('!(evidence.comparison.accuracyDelta.lower > 5.0)', bootstrap), false);
    assert.equal(passes('evidence.candidate.recall.lower >= 0.0'), false);
    assert.equal(passes('evidence.candidate.auc.lower >= 0.0', {} as EvidenceDocument), false);
    const broken = {
      ...evidence,
      candidate: { ...evidence.candidate, auc: { value: NaN, lower: NaN, upper: NaN } },
    };
    assert.equal(passes('evidence.candidate.auc.lower >= 0.0', broken), false);
  });

  it('a first release passes only a gate that says what it means there', () => {
    const expression = '!has(evidence.comparison) || evidence.comparison.accuracyDelta.lower >= -0.02';
    assert.equal(passes(expression, bootstrap), true);
    assert.equal(passes(expression), true);
    assert.match(gateProblem('evidence.comparison.aucDelta.lower > 0.0') ?? '', /first release/);
  });

  it('a result that is not a bool denies', () => {
    for (const expression of ['1', '"true"', 'evidence', 'evidence.candidate.rows', 'null', '[true]']) {
      assert.equal(passes(expression), false, expression);
      assert.match(gateProblem(expression) ?? '', /true or false/);
    }
  });

  it('what does not compile denies, and is named when the manifest is applied', () => {
    const wrong: readonly (readonly [string, RegExp])[] = [
      ['evidence.candidate.auc.lower >=', /line 1, column \d+/],
      ['candidate.auc.lower > 0.5', /begins with evidence/],
      ['true || nothing.here', /there is no nothing/],
      ['evidence.candidate.acu.lower > 0.5', /acu/],
      ['launch(evidence)', /launch/],
      ['evidence.candidate.auc > 0.5', /cannot be evaluated/],
      ['', /not a CEL expression/],
      [`evidence.data.rows > ${'1'.repeat(1000)}`, /at most 1000/],
      ['[1].all(a, [1].all(b, [1].all(c, true)))', /at most 2 loops/],
    ];
    for (const [expression, problem] of wrong) {
      assert.equal(passes(expression), false, expression);
      assert.match(gateProblem(expression) ?? 'no problem', problem);
    }
  });

  it('no text takes long, throws, or passes by accident', () => {
    const pieces = fc.constantFrom(
      '(',
      ')',
      '[',
      ']',
      '{',
      '}',
      '!',
      '-',
      '&&',
      '||',
      '?',
      ':',
      '.',
      ',',
      'x',
      '1',
      '"',
      'evidence',
      '.all(x,',
      '.map(x,',
      'has(',
      '\\',
      '\n',
      '//',
      'in',
      '==',
    );
    fc.assert(
      fc.property(
        fc.array(pieces, { maxLength: 60 }).map((parts) => parts.join('')),
        (expression) => {
          const startedMs = performance.now();
          gateProblem(expression);
          passes(expression);
          assert.ok(performance.now() - startedMs < 2000, expression);
        },
      ),
      { numRuns: 300 },
    );
    for (const nested of ['(', '[', '!', '-', '{1:']) {
      const close = { '(': ')', '[': ']', '{1:': '}' }[nested] ?? '';
      const depth = Math.floor(990 / (nested.length + close.length));
      const expression = nested.repeat(depth) + 'true' + close.repeat(depth);
      passes(expression);
      gateProblem(expression.slice(0, 1000));
    }
  });

  it('every gate is judged, in order, with its own message', () => {
    const results = evaluateGates(
      [
        {
          name: 'a',
          expression: 'evidence.candidate.auc.lower >= 0.9',
          severity: 'warn',
          message: 'AUC is low',
        },
        { name: 'b', expression: 'evidence.size.bytes < 1.0e6', severity: 'deny', message: 'too large' },
      ],
      evidence,
    );
    assert.deepEqual(
      results.map(({ name, passed, severity }) => [name, passed, severity]),
      [
        ['a', false, 'warn'],
        ['b', true, 'deny'],
      ],
    );
    assert.match(results[0]?.message ?? '', /^AUC is low/);
  });
});

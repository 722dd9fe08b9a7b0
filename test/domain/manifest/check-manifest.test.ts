import { strict as assert } from 'node:assert';
import { isAbsolute } from 'node:path';
import { describe, it } from 'mocha';

import { checkManifest } from '../../../domain/manifest/check-manifest.ts';
import type { ManifestContext } from '../../../domain/manifest/check-manifest.ts';
import type { ManifestDocument } from '../../../domain/manifest/manifest-document.ts';
import { manifestSample, manifestWith, onlineManifestSample } from '../../api/manifest-sample.ts';

const context: ManifestContext = {
  trainers: ['gbt', 'mlp'],
  gateProblem: (expression) => (expression.includes('evidence') ? undefined : 'is not about the evidence'),
  isAbsolutePath: isAbsolute,
};

const problemsWith = (path: string, value: unknown) =>
  checkManifest(manifestWith(path, value) as ManifestDocument, context);

describe('rules of a manifest that no schema can say', () => {
  it('a manifest that is right has no problem', () => {
    assert.deepEqual(checkManifest(manifestSample(), context), []);
  });

  const step = manifestSample().spec.rollout.steps[0]!;
  const guardrail = manifestSample().spec.guardrails[0]!;
  const gate = manifestSample().spec.gates[0]!;
  const feature = { name: 'nswprice' };

  /** Where it is made wrong, with what, where the problem must be, and what it must say. */
  const matrix: readonly (readonly [string, unknown, string, RegExp])[] = [
    ['/spec/features', [feature, { name: 'x' }, feature], '/spec/features/2/name', /is there already/],
    ['/spec/features/0', { name: 'event_time' }, '/spec/features/0/name', /column of every data set/],
    ['/spec/features/0', { name: 'x', min: 1, max: 1 }, '/spec/features/0/max', /above min/],
    ['/spec/target', 'nswprice', '/spec/target', /also a feature/],
    ['/spec/target', 'row_number', '/spec/target', /column of every data set/],
    ['/spec/data/file', 'elec2.csv', '/spec/data/file', /absolute path/],
    ['/spec/data/query', undefined, '/spec/data/query', /is required/],
    ['/spec/data/query', ' \n', '/spec/data/query', /is empty/],
    ['/spec/data/queryFile', 'q.sql', '/spec/data/queryFile', /not both/],
    ['/spec/data', { file: '/x', queryFile: 'q.sql' }, '/spec/data/queryFile', /read by the client/],
    ['/spec/data/trainBefore', 'May 1997', '/spec/data/trainBefore', /a date or an instant/],
    ['/spec/data/trainBefore', '1997-02-29', '/spec/data/trainBefore', /a date or an instant/],
    ['/spec/data/trainBefore', '1997-05-07T24:00:00Z', '/spec/data/trainBefore', /a date or an instant/],
    ['/spec/trainer/name', 'xgb', '/spec/trainer/name', /known: gbt, mlp/],
    ['/spec/gates', [gate, { ...gate }], '/spec/gates/1/name', /is there already/],
    ['/spec/gates/0/expression', '1 == 1', '/spec/gates/0/expression', /not about the evidence/],
    ['/spec/gates', [{ ...gate, severity: 'warn' }], '/spec/gates', /at least one gate must deny/],
    ['/spec/guardrails', [guardrail, { ...guardrail }], '/spec/guardrails/1/name', /is there already/],
    ['/spec/guardrails/0/margin', 1.5, '/spec/guardrails/0/margin', /above 1 \+ tolerance \(1\.5\)/],
    ['/spec/guardrails', [guardrail], '/spec/rollout/shadow', /needs the guardrail diverged/],
    ['/spec/approval/timeout', '0s', '/spec/approval/timeout', /at least 1s/],
    ['/spec/approval/valid', '400d', '/spec/approval/valid', /at most/],
    [
      '/spec/rollout/steps',
      [step, { ...step }],
      '/spec/rollout/steps/1/weight',
      /above the step before \(5\)/,
    ],
    ['/spec/rollout/steps/0/weight', 0.001, '/spec/rollout/steps/0/weight', /hundredths/],
    ['/spec/rollout/steps/0/weight', 1.234, '/spec/rollout/steps/0/weight', /hundredths/],
    [
      '/spec/rollout/steps/0/minDuration',
      '3m',
      '/spec/rollout/steps/0/minDuration',
      /not be above maxDuration \(2m\)/,
    ],
    ['/spec/rollout/steps/0/maxDuration', '0s', '/spec/rollout/steps/0/maxDuration', /at least 1s/],
    [
      '/spec/rollout/shadow/minDuration',
      '1h',
      '/spec/rollout/shadow/minDuration',
      /not be above maxDuration/,
    ],
    ['/spec/rollout/shadow/mirror', 33.333, '/spec/rollout/shadow/mirror', /hundredths/],
    ['/spec/rollout/lease', '4s', '/spec/rollout/lease', /at least 5s/],
    ['/spec/rollout/lease', '1h', '/spec/rollout/lease', /at most 300s/],
    ['/spec/rollout/askTimeout', '0s', '/spec/rollout/askTimeout', /at least 1s/],
  ];
  for (const [path, value, at, reason] of matrix) {
    it(`${path} = ${JSON.stringify(value)?.slice(0, 60) ?? 'absent'} is refused at ${at}`, () => {
      const found = problemsWith(path, value).find((problem) => problem.path === at);
      assert.match(found?.reason ?? 'no problem there', reason);
    });
  }

  /** The same, on the sample with serving settings and feature views. */
  const servingMatrix: readonly (readonly [string, unknown, string, RegExp])[] = [
    ['/spec/serving/deadline', '0ms', '/spec/serving/deadline', /at least 1ms/],
    ['/spec/serving/deadline', '2m', '/spec/serving/deadline', /at most 60s/],
    ['/spec/serving/log/features', ['user_email'], '/spec/serving/log/features/0', /only declared features/],
    ['/spec/serving/log/features', ['vicprice', 'vicprice'], '/spec/serving/log/features/1', /there already/],
    ['/spec/serving/backend/remote/url', 'ftp://host/x', '/spec/serving/backend/remote/url', /http/],
    [
      '/spec/serving/backend/remote/url',
      'http://a:b@host',
      '/spec/serving/backend/remote/url',
      /credentials/,
    ],
    ['/spec/serving/backend/remote/url', 'http://', '/spec/serving/backend/remote/url', /http/],
    ['/spec/serving/backend/remote/model', 'a/../b', '/spec/serving/backend/remote/model', /letters/],
    ['/spec/serving/backend/remote/model', 'm-{digest}', '/spec/serving/backend/remote/model', /\{version\}/],
    ['/spec/featureViews/1/name', 'demand', '/spec/featureViews/1/name', /there already/],
    ['/spec/featureViews/0/entity', 'nswprice', '/spec/featureViews/0/entity', /also a feature/],
    ['/spec/featureViews/0/entity', 'features', '/spec/featureViews/0/entity', /input with the columns/],
    ['/spec/featureViews/0/ttl', '0s', '/spec/featureViews/0/ttl', /at least 1ms/],
    ['/spec/features/1/online/view', 'nope', '/spec/features/1/online/view', /known: demand, prices/],
    ['/spec/featureViews', undefined, '/spec/features/1/online/view', /none is declared/],
    ['/spec/features/1/online/default', undefined, '/spec/features/1/online/default', /is required/],
    ['/spec/features/1/online/onMissing', 'fail', '/spec/features/1/online/default', /never be used/],
    ['/spec/features/1/online/onMissing', undefined, '/spec/features/1/online/default', /never be used/],
    ['/spec/features/1/max', 0.4, '/spec/features/1/online/default', /between min and max/],
    ['/spec/features/2/online/maxStale', undefined, '/spec/features/2/online/maxStale', /is required/],
    ['/spec/features/2/online/maxStale', '0s', '/spec/features/2/online/maxStale', /at least 1ms/],
    ['/spec/features/2/online/onMissing', 'fail', '/spec/features/2/online/maxStale', /only for onMissing/],
  ];
  for (const [path, value, at, reason] of servingMatrix) {
    it(`serving: ${path} = ${JSON.stringify(value) ?? 'absent'} is refused at ${at}`, () => {
      const document = manifestWith(path, value, onlineManifestSample()) as ManifestDocument;
      const found = checkManifest(document, context).find((problem) => problem.path === at);
      assert.match(found?.reason ?? 'no problem there', reason);
    });
  }

  it('serving settings and feature views that are right have no problem', () => {
    assert.deepEqual(checkManifest(onlineManifestSample(), context), []);
  });

  it('finds all problems in one go', () => {
    const document = manifestWith('/spec/target', 'nswprice') as { spec: Record<string, unknown> };
    document.spec['trainer'] = { name: 'none', seed: 1 };
    document.spec['rollout'] = { steps: [step, step], lease: '1s' };
    const paths = checkManifest(document as unknown as ManifestDocument, context).map(({ path }) => path);
    assert.deepEqual(paths, [
      '/spec/target',
      '/spec/trainer/name',
      '/spec/rollout/steps/1/weight',
      '/spec/rollout/lease',
    ]);
  });

  it('a section of unknown shape is left alone, the others are still checked', () => {
    const document = manifestWith('/spec/features', 7) as {
      spec: { target: string; trainer: { name: string } };
    };
    document.spec.trainer.name = 'none';
    const shape = [{ path: '/spec/features', reason: 'must be an array' }];
    const problems = checkManifest(document as unknown as ManifestDocument, context, shape);
    assert.deepEqual(
      problems.map(({ path }) => path),
      ['/spec/trainer/name'],
    );
    const nothing = checkManifest(null as unknown as ManifestDocument, context, [
      { path: '', reason: 'must be an object' },
    ]);
    assert.deepEqual(nothing, []);
  });

  it('weights that add no rounding error in hundredths are taken', () => {
    for (const weight of [0.01, 0.29, 1.1, 4.35, 99.99, 100]) {
      const steps = [{ ...step, weight }];
      assert.deepEqual(problemsWith('/spec/rollout/steps', steps), [], String(weight));
    }
  });
});

import { strict as assert } from 'node:assert';
import { describe, it } from 'mocha';

import type { ManifestDocument } from '../../../domain/manifest/manifest-document.ts';
import { parseManifest } from '../../../domain/manifest/parse-manifest.ts';
import { completeManifest } from '../../../domain/manifest/serving-spec.ts';
import { manifestSample, manifestWith, onlineManifestSample } from '../../api/manifest-sample.ts';

describe('from the manifest as written to the manifest as read', () => {
  it('durations become seconds and nothing is lost', () => {
    const manifest = parseManifest(manifestSample());
    assert.equal(manifest.approval.timeoutSeconds, 86_400);
    assert.equal(manifest.approval.validSeconds, 604_800);
    assert.deepEqual(manifest.rollout.shadow, {
      mirror: 100,
      minDurationSeconds: 5,
      maxDurationSeconds: 120,
      minSamples: 200,
      scoreTolerance: 0.01,
    });
    assert.equal(manifest.rollout.steps[1]?.weight, 25);
    assert.deepEqual(manifest.features[0], { name: 'nswprice', min: 0, max: 1 });
    assert.deepEqual(manifest.trainer.parameters, { rounds: 100, lags: ['nswprice'] });
  });

  it('what is left out errs on the side of the champion or of a person', () => {
    const { spec, ...rest } = manifestSample();
    const { approval: _approval, ...kept } = spec;
    const steps = spec.rollout.steps;
    const gates = spec.gates.map(({ severity: _severity, ...gate }) => gate);
    const manifest = parseManifest({ ...rest, spec: { ...kept, gates, rollout: { steps } } });
    assert.ok(manifest.gates.every(({ severity }) => severity === 'deny'));
    assert.equal(manifest.rollout.onInconclusive, 'ask');
    assert.equal(manifest.rollout.leaseSeconds, 15);
    assert.equal(manifest.rollout.guardForSeconds, 86_400);
    assert.equal('shadow' in manifest.rollout, false);
    assert.equal(manifest.approval.validSeconds, 604_800);
  });

  it('serving settings and feature views are read with their units', () => {
    const manifest = parseManifest(onlineManifestSample());
    assert.deepEqual(manifest.serving, {
      deadlineMs: 200,
      maxBatchRows: 32,
      log: { features: ['nswprice'] },
      backend: { kind: 'remote', url: 'https://triton.internal:8000/base', model: 'elec2-{version}' },
    });
    assert.deepEqual(manifest.featureViews, [
      { name: 'demand', entity: 'region', ttlMs: 3_600_000 },
      { name: 'prices', entity: 'region', ttlMs: 500 },
    ]);
    assert.deepEqual(
      manifest.features.map(({ online }) => online),
      [
        undefined,
        { view: 'demand', feature: 'nswdemand', onMissing: 'default', default: 0.5 },
        { view: 'prices', feature: 'vic', onMissing: 'stale', maxStaleMs: 600_000 },
      ],
    );
    const bare = { view: 'demand' };
    const [, column] = parseManifest(
      manifestWith('/spec/features/1/online', bare, onlineManifestSample()) as ManifestDocument,
    ).features;
    assert.equal(column?.online?.onMissing, 'fail', 'a column that is missing is never made up unasked');
  });

  it('a manifest without them, also one that an earlier Slipway stored, means the defaults', () => {
    const manifest = parseManifest(manifestSample());
    assert.deepEqual(manifest.serving, {
      deadlineMs: 1000,
      maxBatchRows: 64,
      log: { features: [] },
      backend: { kind: 'onnx' },
    });
    assert.deepEqual(manifest.featureViews, []);
    const { serving: _serving, featureViews: _views, ...stored } = manifest;
    assert.deepEqual(completeManifest(stored), manifest);
    const online = parseManifest(onlineManifestSample());
    assert.deepEqual(completeManifest(online), online, 'what is there stays');
  });

  it('the same document in another order of members is the same manifest', () => {
    const reversed = (value: unknown): unknown =>
      typeof value !== 'object' || value === null || Array.isArray(value)
        ? value
        : Object.fromEntries(
            Object.entries(value)
              .toReversed()
              .map(([key, member]) => [key, reversed(member)]),
          );
    assert.deepEqual(
      parseManifest(reversed(manifestSample()) as ManifestDocument),
      parseManifest(manifestSample()),
    );
  });

  it('a document that was not checked is refused, not guessed at', () => {
    assert.throws(
      () => parseManifest(manifestWith('/spec/rollout/lease', 'soon') as ManifestDocument),
      /lease/,
    );
    assert.throws(
      () => parseManifest(manifestWith('/spec/data/query', undefined) as ManifestDocument),
      /query/,
    );
  });
});

import { strict as assert } from 'node:assert';
import { describe, it } from 'mocha';

import type { ManifestDocument } from '../../../domain/manifest/manifest-document.ts';
import { parseManifest } from '../../../domain/manifest/parse-manifest.ts';
import { manifestSample, manifestWith } from '../../api/manifest-sample.ts';

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

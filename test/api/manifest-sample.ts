/** A manifest that is right, to be made wrong in one place at a time. */
import { segmentsOf } from '../../domain/manifest/json-pointer.ts';
import type { ManifestDocument } from '../../domain/manifest/manifest-document.ts';

export function manifestSample(): ManifestDocument {
  return {
    apiVersion: 'slipway/v1',
    kind: 'Model',
    metadata: { name: 'elec2', description: 'Does the price go up?', owner: 'energy-team' },
    spec: {
      task: 'binary-classification',
      riskTier: 'high',
      features: [{ name: 'nswprice', min: 0, max: 1 }, { name: 'nswdemand' }, { name: 'vicprice' }],
      target: 'class',
      data: { file: '/data/elec2.csv.gz', query: 'select * from source', trainBefore: '1997-05-07' },
      trainer: { name: 'gbt', seed: 7, parameters: { rounds: 100, lags: ['nswprice'] } },
      gates: [
        {
          name: 'auc',
          expression: 'evidence.candidate.auc.lower >= 0.6',
          severity: 'deny',
          message: 'AUC is too low',
        },
        {
          name: 'size',
          expression: 'evidence.size.bytes < 10000000',
          severity: 'warn',
          message: 'the model is large',
        },
      ],
      guardrails: [
        { name: 'errors', tolerance: 0.5, margin: 2, negligibleRate: 0.001 },
        { name: 'diverged', tolerance: 0, margin: 1.5, negligibleRate: 0.02 },
      ],
      slo: { latencyMs: 20 },
      approval: { timeout: '24h', valid: '7d' },
      rollout: {
        shadow: { mirror: 100, minDuration: '5s', maxDuration: '2m', minSamples: 200, scoreTolerance: 0.01 },
        steps: [
          { weight: 5, minDuration: '5s', maxDuration: '2m', minSamples: 100 },
          { weight: 25, minDuration: '5s', maxDuration: '2m', minSamples: 100 },
        ],
        onInconclusive: 'ask',
        askTimeout: '1h',
        lease: '15s',
        guardFor: '24h',
      },
    },
  };
}

/** The sample with the sections that the gateway serves by, and two of its columns from feature views. */
export function onlineManifestSample(): ManifestDocument {
  const { spec, ...rest } = manifestSample();
  return {
    ...rest,
    spec: {
      ...spec,
      features: [
        { name: 'nswprice', min: 0, max: 1 },
        { name: 'nswdemand', online: { view: 'demand', onMissing: 'default', default: 0.5 } },
        {
          name: 'vicprice',
          online: { view: 'prices', feature: 'vic', onMissing: 'stale', maxStale: '10m' },
        },
      ],
      serving: {
        deadline: '200ms',
        maxBatchRows: 32,
        log: { features: ['nswprice'] },
        backend: { remote: { url: 'https://triton.internal:8000/base', model: 'elec2-{version}' } },
      },
      featureViews: [
        { name: 'demand', entity: 'region', ttl: '1h' },
        { name: 'prices', entity: 'region', ttl: '500ms' },
      ],
    },
  };
}

/** The sample with one place changed; `undefined` removes it. */
export function manifestWith(path: string, value: unknown, sample = manifestSample()): unknown {
  const copy: unknown = structuredClone(sample);
  const segments = segmentsOf(path);
  const last = segments.at(-1) ?? '';
  let parent = copy as Record<string, unknown>;
  for (const segment of segments.slice(0, -1)) parent = parent[segment] as Record<string, unknown>;
  if (value === undefined) delete parent[last];
  else parent[last] = value;
  return copy;
}

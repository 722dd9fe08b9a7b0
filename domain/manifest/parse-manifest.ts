/**
 * From the manifest as it is written to the manifest as everything else reads it: defaults filled in, durations in
 * seconds. Says nothing about whether it makes sense; that is `check-manifest.ts`, which comes first.
 */
import { SlipwayError } from '../errors.ts';
import { parseDuration } from './duration.ts';
import { parseExperiments } from './experiment-section.ts';
import type {
  FeatureDocument,
  ManifestDocument,
  RolloutDocument,
  ServingDocument,
} from './manifest-document.ts';
import { DEFAULTS } from './manifest-document.ts';
import type { FeatureSpec, ModelManifest, RolloutSpec } from './model-manifest.ts';
import { SERVING_DEFAULTS } from './serving-spec.ts';
import type { ServingSpec } from './serving-spec.ts';

/** @throws SlipwayError INVALID_MANIFEST when it was not checked and a duration or the query is wrong. */
export function parseManifest({ metadata, spec }: ManifestDocument): ModelManifest {
  const { query, trainBefore } = spec.data;
  if (query === undefined) {
    throw new SlipwayError('INVALID_MANIFEST', '/spec/data/query is required', {
      problems: [{ path: '/spec/data/query', reason: 'is required' }],
    });
  }
  return {
    name: metadata.name,
    description: metadata.description ?? '',
    owner: metadata.owner,
    task: spec.task,
    riskTier: spec.riskTier,
    features: spec.features.map(feature),
    target: spec.target,
    data: { file: spec.data.file, query, ...(trainBefore === undefined ? {} : { trainBefore }) },
    trainer: {
      name: spec.trainer.name,
      seed: spec.trainer.seed,
      parameters: { ...spec.trainer.parameters },
    },
    gates: spec.gates.map(({ name, expression, severity, message }) => ({
      name,
      expression,
      severity: severity ?? DEFAULTS.severity,
      message,
    })),
    guardrails: spec.guardrails.map(({ name, tolerance, margin, negligibleRate }) => ({
      name,
      tolerance,
      margin,
      negligibleRate,
    })),
    slo: { latencyMs: spec.slo.latencyMs },
    approval: {
      timeoutSeconds: seconds(spec.approval?.timeout ?? DEFAULTS.approvalTimeout, '/spec/approval/timeout'),
      validSeconds: seconds(spec.approval?.valid ?? DEFAULTS.approvalValid, '/spec/approval/valid'),
    },
    rollout: rollout(spec.rollout),
    serving: serving(spec.serving),
    featureViews: (spec.featureViews ?? []).map(({ name, entity, ttl }, index) => ({
      name,
      entity,
      ttlMs: milliseconds(ttl, `/spec/featureViews/${index}/ttl`),
    })),
    experiments: parseExperiments(spec.experiments),
  };
}

function feature({ name, min, max, online }: FeatureDocument, index: number): FeatureSpec {
  const staleAt = `/spec/features/${index}/online/maxStale`;
  return {
    name,
    ...(min === undefined ? {} : { min }),
    ...(max === undefined ? {} : { max }),
    ...(online === undefined
      ? {}
      : {
          online: {
            view: online.view,
            feature: online.feature ?? name,
            onMissing: online.onMissing ?? DEFAULTS.onMissing,
            ...(online.default === undefined ? {} : { default: online.default }),
            ...(online.maxStale === undefined ? {} : { maxStaleMs: milliseconds(online.maxStale, staleAt) }),
          },
        }),
  };
}

function serving({ deadline, maxBatchRows, log, backend }: ServingDocument = {}): ServingSpec {
  return {
    deadlineMs: milliseconds(deadline ?? DEFAULTS.deadline, '/spec/serving/deadline'),
    maxBatchRows: maxBatchRows ?? SERVING_DEFAULTS.maxBatchRows,
    log: { features: [...(log?.features ?? [])] },
    backend:
      backend === undefined
        ? SERVING_DEFAULTS.backend
        : { kind: 'remote', url: backend.remote.url, model: backend.remote.model },
  };
}

function rollout(document: RolloutDocument): RolloutSpec {
  const at = (member: string): string => `/spec/rollout/${member}`;
  const { shadow } = document;
  return {
    ...(shadow === undefined
      ? {}
      : {
          shadow: {
            mirror: shadow.mirror,
            minDurationSeconds: seconds(shadow.minDuration, at('shadow/minDuration')),
            maxDurationSeconds: seconds(shadow.maxDuration, at('shadow/maxDuration')),
            minSamples: shadow.minSamples,
            scoreTolerance: shadow.scoreTolerance,
          },
        }),
    steps: document.steps.map((step, index) => ({
      weight: step.weight,
      minDurationSeconds: seconds(step.minDuration, at(`steps/${index}/minDuration`)),
      maxDurationSeconds: seconds(step.maxDuration, at(`steps/${index}/maxDuration`)),
      minSamples: step.minSamples,
    })),
    onInconclusive: document.onInconclusive ?? DEFAULTS.onInconclusive,
    askTimeoutSeconds: seconds(document.askTimeout ?? DEFAULTS.askTimeout, at('askTimeout')),
    leaseSeconds: seconds(document.lease ?? DEFAULTS.lease, at('lease')),
    guardForSeconds: seconds(document.guardFor ?? DEFAULTS.guardFor, at('guardFor')),
  };
}

function milliseconds(text: string, path: string): number {
  return Math.round(seconds(text, path) * 1000);
}

function seconds(text: string, path: string): number {
  const value = parseDuration(text);
  if (value === undefined) {
    throw new SlipwayError('INVALID_MANIFEST', `${path} is not a duration: ${text}`, {
      problems: [{ path, reason: 'is not a duration' }],
    });
  }
  return value;
}

/**
 * From the manifest as it is written to the manifest as everything else reads it: defaults filled in, durations in
 * seconds. Says nothing about whether it makes sense; that is `check-manifest.ts`, which comes first.
 */
import { SlipwayError } from '../errors.ts';
import { parseDuration } from './duration.ts';
import type { ManifestDocument, RolloutDocument } from './manifest-document.ts';
import { DEFAULTS } from './manifest-document.ts';
import type { ModelManifest, RolloutSpec } from './model-manifest.ts';

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
    features: spec.features.map(({ name, min, max }) => ({
      name,
      ...(min === undefined ? {} : { min }),
      ...(max === undefined ? {} : { max }),
    })),
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

function seconds(text: string, path: string): number {
  const value = parseDuration(text);
  if (value === undefined) {
    throw new SlipwayError('INVALID_MANIFEST', `${path} is not a duration: ${text}`, {
      problems: [{ path, reason: 'is not a duration' }],
    });
  }
  return value;
}

/** The steps of a rollout as they will be walked, and what follows from each verdict. Pure, so that it replays. */
import { SlipwayError } from '../errors.ts';
import type { RolloutSpec } from '../manifest/model-manifest.ts';
import { FULL_WEIGHT } from '../routing/route.ts';
import type { RouteChange } from '../routing/route.ts';
import type { Verdict } from './verdict.ts';

export interface PlannedStep {
  readonly kind: 'shadow' | 'canary';
  readonly index: number;
  /** Percent of live traffic (canary) or of mirrored traffic (shadow). */
  readonly weight: number;
  /** Probability (0–1) that a request which reached either arm reached the candidate. */
  readonly share: number;
  readonly minSamples: number;
  readonly minDurationMs: number;
  readonly maxDurationMs: number;
}

export function planSteps(rollout: RolloutSpec, skipShadow: boolean): readonly PlannedStep[] {
  const steps: PlannedStep[] = [];
  if (rollout.shadow !== undefined && !skipShadow) {
    const { mirror, minSamples, minDurationSeconds, maxDurationSeconds } = rollout.shadow;
    const mirrored = mirror / 100;
    steps.push({
      kind: 'shadow',
      index: 0,
      weight: mirror,
      // Every mirrored request reaches both arms, so the candidate has m of 1 + m.
      share: mirrored / (1 + mirrored),
      minSamples,
      minDurationMs: minDurationSeconds * 1000,
      maxDurationMs: maxDurationSeconds * 1000,
    });
  }
  for (const { weight, minSamples, minDurationSeconds, maxDurationSeconds } of rollout.steps) {
    steps.push({
      kind: 'canary',
      index: steps.length,
      weight,
      share: weight / 100,
      minSamples,
      minDurationMs: minDurationSeconds * 1000,
      maxDurationMs: maxDurationSeconds * 1000,
    });
  }
  if (steps.length === 0) {
    throw new SlipwayError(
      'INVALID_MANIFEST',
      'a rollout needs at least one step: nothing is promoted without evidence',
    );
  }
  return steps;
}

export function changeOf(step: PlannedStep, version: string): RouteChange {
  const basisPoints = Math.round((step.weight / 100) * FULL_WEIGHT);
  return step.kind === 'shadow'
    ? { kind: 'shadow', version, mirrorBp: basisPoints }
    : { kind: 'canary', version, weightBp: basisPoints };
}

export type AfterVerdict = 'advance' | 'rollback' | 'ask' | 'hold';

/** Only proof advances. */
export function afterVerdict(verdict: Verdict, onInconclusive: RolloutSpec['onInconclusive']): AfterVerdict {
  switch (verdict) {
    case 'PROVEN_SAFE':
      return 'advance';
    case 'REGRESSION':
    case 'TELEMETRY_LOST':
      return 'rollback';
    case 'INCONCLUSIVE':
      return onInconclusive;
  }
}

import type { ExperimentSpec } from '../../../domain/experiments/experiment-spec.ts';
import { EXPERIMENT_DEFAULTS } from '../../../domain/experiments/experiment-spec.ts';

/** A sound A/B experiment at 50/50. */
export const abSpec = (changed: Partial<ExperimentSpec> = {}): ExperimentSpec => ({
  name: 'ranking',
  arms: [
    { name: 'control', version: 'champion', weightBp: 5000 },
    { name: 'deep', version: 'challenger', weightBp: 5000 },
  ],
  policy: { kind: 'ab' },
  metric: EXPERIMENT_DEFAULTS.metric,
  alpha: EXPERIMENT_DEFAULTS.alpha,
  minSamples: 100,
  minimumEffect: 0.02,
  maxDurationMs: EXPERIMENT_DEFAULTS.maxDurationMs,
  rewardWindowMs: EXPERIMENT_DEFAULTS.rewardWindowMs,
  ...changed,
});

/** Three arms whose shares a policy sets. */
export const banditSpec = (policy: ExperimentSpec['policy']): ExperimentSpec =>
  abSpec({
    arms: [
      { name: 'control', version: 'champion' },
      { name: 'deep', version: 'challenger' },
      { name: 'wide', version: `sha256:${'0'.repeat(64)}` },
    ],
    policy,
  });

/** What `observeStep` sees, as metrics: the e-values of each guardrail while a step runs. */
import type { Meter } from '@opentelemetry/api';
import type { ObserveDependencies } from '../../activities/observe.ts';

export function createRolloutMetrics(meter: Meter): NonNullable<ObserveDependencies['onLook']> {
  const looks = meter.createCounter('slipway_rollout_looks', {
    description: 'Looks at the evidence of a rollout step.',
  });
  const verdicts = meter.createCounter('slipway_rollout_verdicts', {
    description: 'Verdicts of rollout steps.',
  });
  const evidence = meter.createGauge('slipway_rollout_log_e_value', {
    description: 'Natural logarithm of the e-value of a guardrail of the step that was looked at last.',
  });
  return ({ endpoint, kind }, seen, verdict) => {
    looks.add(1, { endpoint, kind });
    if (verdict !== null) verdicts.add(1, { endpoint, kind, verdict: verdict.verdict });
    for (const { guardrail, logRegression, logSafety } of seen) {
      evidence.record(logRegression, { endpoint, guardrail, test: 'regression' });
      evidence.record(logSafety, { endpoint, guardrail, test: 'safety' });
    }
  };
}

/** What is kept of an answer: counts for the rollout, metrics, the breaker's next outcome, rows for labels and analysis. */
import type { PredictionRow } from '../domain/rollout/arm-window.ts';
import type { Clock } from '../platform/clock.ts';
import { count } from './arm-tally.ts';
import type { Guard } from './guard.ts';
import type { GatewayMetrics, Outcome } from './metrics.ts';
import type { ModelOutput } from './models/model-session.ts';
import type { PredictionLog } from './prediction-log.ts';
import type { AnsweredBy } from './protocol/infer-response.ts';
import type { Picked } from './routing/serving-route.ts';
import type { ServedEndpoint } from './served-endpoint.ts';

export interface AnswerRecorderOptions {
  readonly guard: Guard;
  readonly predictions: PredictionLog;
  readonly metrics: GatewayMetrics;
  readonly clock: Clock;
}

export interface Recorded {
  readonly rows: number;
  /** Null when the arm failed. */
  readonly output: ModelOutput | null;
  readonly outcome: Outcome;
  /** Expired inside the model, not while it waited for it: the arm's own fault. */
  readonly stuck: boolean;
  readonly latencyMs: number;
  /** The input, for the allow-list of the log; null when nothing of it is logged. */
  readonly features: Float32Array | null;
  /** Codes of online features; null when all are PRESENT. */
  readonly statuses: Uint8Array | null;
}

export class AnswerRecorder {
  readonly #options: AnswerRecorderOptions;

  constructor(options: AnswerRecorderOptions) {
    this.#options = options;
  }

  record(endpoint: ServedEndpoint, picked: Picked, by: AnsweredBy, recorded: Recorded): void {
    const { guard, predictions, metrics, clock } = this.#options;
    const { arm, experiment, propensity } = picked;
    const { rows, output, outcome, latencyMs, features, statuses } = recorded;
    const { predictionId, generation, version } = by;
    const atMs = clock.now();
    count(arm.tally, outcome, latencyMs, endpoint.spec.latencySloMs);
    metrics.prediction(by.endpoint, version, by.arm, outcome, latencyMs);
    arm.session.statistics.recordRequest(outcome === 'ok', Math.round(latencyMs * 1e6));
    // What waited too long says that there is too much traffic at least as often as that the arm is bad: the rollout
    // compares it with the champion's, the breaker, which has nothing to compare with, leaves it out.
    if (arm.exposure !== null && (outcome !== 'expired' || recorded.stuck)) {
      guard.record(arm.tally, arm.exposure.breaker, outcome !== 'ok');
    }
    endpoint.log?.add({
      predictionId,
      rows,
      atMs,
      generation,
      arm: arm.tally.arm,
      version,
      experiment,
      propensity,
      outcome,
      output,
      latencyMs,
      features: features ?? NO_FEATURES,
      statuses,
    });
    // A decision of an experiment stays one, answered or not: what has no reward may count as 0.
    if (outcome === 'expired' && experiment === null) return;
    const { tally } = arm;
    const row = { predictionId, endpoint: by.endpoint, generation, arm: tally.arm, version, atMs };
    predictions.add(
      experiment === null ? row : { ...row, ...inExperiment(picked, experiment) },
      rows,
      output,
    );
  }
}

function inExperiment(
  { propensity, snapshot, context }: Picked,
  experiment: string,
): Pick<PredictionRow, 'experiment' | 'propensity' | 'snapshot' | 'context'> {
  return {
    experiment,
    propensity,
    ...(snapshot === undefined ? {} : { snapshot }),
    ...(context === undefined ? {} : { context }),
  };
}

const NO_FEATURES = new Float32Array(0);

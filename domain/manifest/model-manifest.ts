/**
 * A model as its owner declares it (`kind: Model` in YAML). Shapes only: `check-manifest.ts` holds the rules that
 * no schema can express, `api/schemas/manifest.ts` the JSON schema that the API validates with.
 */

import type { ExperimentPlan } from '../experiments/experiment-run.ts';
import type { FeatureViewSpec, OnlineSource, ServingSpec } from './serving-spec.ts';

export type Task = 'binary-classification';
export type RiskTier = 'low' | 'high';
export type Severity = 'deny' | 'warn';
export type InconclusivePolicy = 'ask' | 'hold' | 'rollback';
export type GuardrailName = 'errors' | 'slow' | 'invalid' | 'diverged' | 'wrong';

export const GUARDRAIL_NAMES: readonly GuardrailName[] = ['errors', 'slow', 'invalid', 'diverged', 'wrong'];

export interface FeatureSpec {
  readonly name: string;
  /** Values of callers that lie outside are refused by the gateway with a 400 that names the feature. */
  readonly min?: number;
  readonly max?: number;
  /** Filled in by the gateway; absent for a column that the caller sends. */
  readonly online?: OnlineSource;
}

export interface DataSpec {
  /** CSV (also gzip) beside the manifest, or an absolute path. */
  readonly file: string;
  /** DuckDB SQL over the table `source` (the file, with `row_number`); the columns are features, target and `event_time`. */
  readonly query: string;
  /** Rows with `event_time` before this instant may be trained on (ISO 8601). Overridden by `--param train_before=…`. */
  readonly trainBefore?: string;
}

export interface TrainerSpec {
  readonly name: string;
  readonly seed: number;
  readonly parameters: Readonly<Record<string, ParameterValue>>;
}
export type ParameterValue = string | number | boolean | readonly string[];

export interface GateSpec {
  readonly name: string;
  /** CEL over the evidence document; must give a bool. Missing evidence denies. */
  readonly expression: string;
  readonly severity: Severity;
  readonly message: string;
}

export interface GuardrailSpec {
  readonly name: GuardrailName;
  /** Regression is alarmed beyond champion's rate × (1 + tolerance). */
  readonly tolerance: number;
  /** Safety is proven below champion's rate × margin (> 1). */
  readonly margin: number;
  /**
   * A bad-event rate so low that it is harmless whatever the champion's (0–1): with no bad event on either side a
   * ratio can never be proven, an absolute rate can. For `diverged`, which has no champion rate, it is the noise
   * floor itself.
   */
  readonly negligibleRate: number;
}

export interface RolloutStep {
  /** Share of traffic in percent, 0 < weight ≤ 100, in hundredths at the finest. */
  readonly weight: number;
  readonly minDurationSeconds: number;
  readonly maxDurationSeconds: number;
  /** Candidate requests that a step needs before it may be proven. */
  readonly minSamples: number;
}

export interface ShadowStep {
  /** Share of the champion's requests that are mirrored, in percent. */
  readonly mirror: number;
  readonly minDurationSeconds: number;
  readonly maxDurationSeconds: number;
  readonly minSamples: number;
  /** A pair diverges when the two scores differ by more than this. */
  readonly scoreTolerance: number;
}

export interface RolloutSpec {
  /** Absent: no shadow step. */
  readonly shadow?: ShadowStep;
  readonly steps: readonly RolloutStep[];
  readonly onInconclusive: InconclusivePolicy;
  /** How long `ask` waits for a person before it rolls back. */
  readonly askTimeoutSeconds: number;
  /** Canary and shadow traffic ends by itself when the lease is not renewed for this long. */
  readonly leaseSeconds: number;
  /** How long the former champion stays loaded after promotion. */
  readonly guardForSeconds: number;
}

export interface ModelManifest {
  readonly name: string;
  readonly description: string;
  readonly owner: string;
  readonly task: Task;
  readonly riskTier: RiskTier;
  readonly features: readonly FeatureSpec[];
  readonly target: string;
  readonly data: DataSpec;
  readonly trainer: TrainerSpec;
  readonly gates: readonly GateSpec[];
  readonly guardrails: readonly GuardrailSpec[];
  readonly slo: { readonly latencyMs: number };
  readonly approval: { readonly timeoutSeconds: number; readonly validSeconds: number };
  readonly rollout: RolloutSpec;
  readonly serving: ServingSpec;
  readonly featureViews: readonly FeatureViewSpec[];
  readonly experiments: readonly ExperimentPlan[];
}

/** Approvals that a release needs: the tier decides, and a release without a champion to compare with needs one more. */
export function approvalsNeeded(tier: RiskTier, bootstrap: boolean): number {
  return (tier === 'high' ? 2 : 1) + (bootstrap ? 1 : 0);
}

/**
 * The manifest as it is written (`kind: Model` in YAML or JSON), after its shape has been checked against the JSON
 * schema in `api/schemas/manifest.ts`. Members with a question mark have a default, see `DEFAULTS`.
 */
import type { ExperimentDocument } from './experiment-section.ts';
import type {
  GuardrailName,
  InconclusivePolicy,
  ParameterValue,
  RiskTier,
  Severity,
  Task,
} from './model-manifest.ts';
import type { OnMissing } from './serving-spec.ts';

export interface ManifestDocument {
  readonly apiVersion: 'slipway/v1';
  readonly kind: 'Model';
  readonly metadata: {
    readonly name: string;
    readonly description?: string;
    readonly owner: string;
  };
  readonly spec: {
    readonly task: Task;
    readonly riskTier: RiskTier;
    readonly features: readonly FeatureDocument[];
    readonly target: string;
    readonly data: {
      readonly file: string;
      /** Exactly one of the two; the client reads `queryFile` and sends its text as `query`. */
      readonly query?: string;
      readonly queryFile?: string;
      readonly trainBefore?: string;
    };
    readonly trainer: {
      readonly name: string;
      readonly seed: number;
      readonly parameters?: Readonly<Record<string, ParameterValue>>;
    };
    readonly gates: readonly GateDocument[];
    readonly guardrails: readonly GuardrailDocument[];
    readonly slo: { readonly latencyMs: number };
    readonly approval?: { readonly timeout?: string; readonly valid?: string };
    readonly rollout: RolloutDocument;
    readonly serving?: ServingDocument;
    readonly featureViews?: readonly FeatureViewDocument[];
    readonly experiments?: readonly ExperimentDocument[];
  };
}

export interface FeatureDocument {
  readonly name: string;
  readonly min?: number;
  readonly max?: number;
  readonly online?: OnlineDocument;
}

export interface OnlineDocument {
  readonly view: string;
  /** The name of the column when it is left out. */
  readonly feature?: string;
  readonly onMissing?: OnMissing;
  readonly default?: number;
  readonly maxStale?: string;
}

export interface FeatureViewDocument {
  readonly name: string;
  readonly entity: string;
  readonly ttl: string;
}

export interface ServingDocument {
  readonly deadline?: string;
  readonly maxBatchRows?: number;
  readonly log?: { readonly features?: readonly string[] };
  readonly backend?: { readonly remote: { readonly url: string; readonly model: string } };
}

export interface GateDocument {
  readonly name: string;
  readonly expression: string;
  readonly severity?: Severity;
  readonly message: string;
}

export interface GuardrailDocument {
  readonly name: GuardrailName;
  readonly tolerance: number;
  readonly margin: number;
  readonly negligibleRate: number;
}

export interface StepDocument {
  readonly weight: number;
  readonly minDuration: string;
  readonly maxDuration: string;
  readonly minSamples: number;
}

export interface ShadowDocument {
  readonly mirror: number;
  readonly minDuration: string;
  readonly maxDuration: string;
  readonly minSamples: number;
  readonly scoreTolerance: number;
}

export interface RolloutDocument {
  readonly shadow?: ShadowDocument;
  readonly steps: readonly StepDocument[];
  readonly onInconclusive?: InconclusivePolicy;
  readonly askTimeout?: string;
  readonly lease?: string;
  readonly guardFor?: string;
}

/** What an absent member means. Each errs on the side of the champion, or of asking a person. */
export const DEFAULTS = {
  severity: 'deny',
  onInconclusive: 'ask',
  askTimeout: '1h',
  lease: '15s',
  guardFor: '24h',
  approvalTimeout: '3d',
  approvalValid: '7d',
  deadline: '1s',
  onMissing: 'fail',
} as const satisfies Record<string, string>;

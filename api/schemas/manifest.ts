/**
 * JSON schema of a manifest (`kind: Model`): what `slipway apply` sends and `docs/reference/manifest.md` documents.
 * Rules that compare members with each other are in `domain/manifest/check-manifest.ts`.
 *
 * A `description` is also the end of the sentence "must be …" that a person reads when the value is wrong.
 */
import { Type } from 'typebox';

import { EXPERIMENT_DEFAULTS } from '../../domain/experiments/index.ts';
import { DURATION_DESCRIPTION, DURATION_PATTERN } from '../../domain/manifest/duration.ts';
import { BANDIT_ALGORITHMS, EXPERIMENT_DURATIONS } from '../../domain/manifest/experiment-section.ts';
import type { ManifestDocument } from '../../domain/manifest/manifest-document.ts';
import { DEFAULTS } from '../../domain/manifest/manifest-document.ts';
import { GUARDRAIL_NAMES } from '../../domain/manifest/model-manifest.ts';
import { SERVING_DEFAULTS } from '../../domain/manifest/serving-spec.ts';
import { ModelName, ParameterValues, oneOf, strict } from './common.ts';

const column = Type.String({
  pattern: '^[A-Za-z_][A-Za-z0-9_]{0,62}$',
  description: 'a column name: letters, digits and _, at most 63',
});
const label = Type.String({
  pattern: '^[a-z0-9][a-z0-9-]{0,62}$',
  description: 'a name of lower-case letters, digits and -, at most 63',
});
const duration = (fallback?: string) =>
  Type.String({
    pattern: DURATION_PATTERN,
    description: DURATION_DESCRIPTION,
    ...(fallback === undefined ? {} : { default: fallback }),
  });
const viewName = Type.String({
  pattern: '^[a-z][a-z0-9_-]{0,62}$',
  description: 'a name of lower-case letters, digits, _ and -, beginning with a letter, at most 63',
});
const percent = Type.Number({
  exclusiveMinimum: 0,
  maximum: 100,
  description: 'a percentage, above 0 and at most 100',
});
const samples = Type.Integer({ minimum: 1, maximum: 1_000_000_000 });
const line = (maxLength: number) => Type.String({ minLength: 1, maxLength });

const StepSchema = strict({
  weight: percent,
  minDuration: duration(),
  maxDuration: duration(),
  minSamples: samples,
});

const ShadowSchema = strict({
  mirror: percent,
  minDuration: duration(),
  maxDuration: duration(),
  minSamples: samples,
  scoreTolerance: Type.Number({ minimum: 0, maximum: 1 }),
});

const DataSchema = strict({
  file: line(4096),
  query: Type.Optional(Type.String({ minLength: 1, maxLength: 100_000 })),
  queryFile: Type.Optional(line(4096)),
  trainBefore: Type.Optional(Type.String({ maxLength: 40 })),
});

const GateSchema = strict({
  name: label,
  expression: line(1000),
  severity: Type.Optional(oneOf(['deny', 'warn'], { default: DEFAULTS.severity })),
  message: line(500),
});

const GuardrailSchema = strict({
  name: oneOf(GUARDRAIL_NAMES),
  tolerance: Type.Number({ minimum: 0, maximum: 100 }),
  margin: Type.Number({ exclusiveMinimum: 1, maximum: 1000 }),
  negligibleRate: Type.Number({ minimum: 0, maximum: 1 }),
});

const RolloutSchema = strict({
  shadow: Type.Optional(ShadowSchema),
  steps: Type.Array(StepSchema, { minItems: 1, maxItems: 20 }),
  onInconclusive: Type.Optional(oneOf(['ask', 'hold', 'rollback'], { default: DEFAULTS.onInconclusive })),
  askTimeout: Type.Optional(duration(DEFAULTS.askTimeout)),
  lease: Type.Optional(duration(DEFAULTS.lease)),
  guardFor: Type.Optional(duration(DEFAULTS.guardFor)),
});

const OnlineSchema = strict({
  view: viewName,
  feature: Type.Optional(column),
  onMissing: Type.Optional(oneOf(['fail', 'default', 'stale'], { default: DEFAULTS.onMissing })),
  default: Type.Optional(Type.Number()),
  maxStale: Type.Optional(duration()),
});

const FeatureSchema = strict({
  name: column,
  min: Type.Optional(Type.Number()),
  max: Type.Optional(Type.Number()),
  online: Type.Optional(OnlineSchema),
});

const ServingSchema = strict({
  deadline: Type.Optional(duration(DEFAULTS.deadline)),
  maxBatchRows: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 4096, default: SERVING_DEFAULTS.maxBatchRows }),
  ),
  log: Type.Optional(strict({ features: Type.Optional(Type.Array(column, { maxItems: 1000 })) })),
  backend: Type.Optional(strict({ remote: strict({ url: line(2048), model: line(200) }) })),
});

const number = Type.Optional(Type.Number());

const ExperimentSchema = strict({
  name: label,
  hypothesis: Type.Optional(line(2000)),
  policy: Type.Optional(
    strict({
      kind: oneOf(['ab', 'bandit']),
      algorithm: Type.Optional(oneOf(BANDIT_ALGORITHMS, { default: EXPERIMENT_DEFAULTS.algorithm })),
      gamma: number,
      floor: number,
      epsilon: number,
      step: Type.Optional(percent),
      width: number,
      ridge: number,
      context: Type.Optional(Type.Array(column, { minItems: 1, maxItems: 64 })),
    }),
  ),
  arms: Type.Array(strict({ name: label, version: line(100), weight: Type.Optional(percent) }), {
    minItems: 2,
    maxItems: 10,
  }),
  metric: Type.Optional(
    strict({
      kind: Type.Optional(oneOf(['conversion', 'reward'], { default: EXPERIMENT_DEFAULTS.metric.kind })),
      absent: Type.Optional(oneOf(['unknown', 'zero'], { default: EXPERIMENT_DEFAULTS.metric.absent })),
    }),
  ),
  alpha: Type.Optional(Type.Number({ default: EXPERIMENT_DEFAULTS.alpha })),
  minEffect: Type.Optional(Type.Number({ default: EXPERIMENT_DEFAULTS.minimumEffect })),
  minSamples: Type.Optional(samples),
  maxDuration: Type.Optional(duration(EXPERIMENT_DURATIONS.maxDuration)),
  rewardWindow: Type.Optional(duration(EXPERIMENT_DURATIONS.rewardWindow)),
  lease: Type.Optional(duration(EXPERIMENT_DURATIONS.lease)),
});

export const ManifestSchema = Type.Unsafe<ManifestDocument>(
  strict({
    apiVersion: Type.Literal('slipway/v1'),
    kind: Type.Literal('Model'),
    metadata: strict({
      name: ModelName,
      description: Type.Optional(Type.String({ maxLength: 2000 })),
      owner: line(200),
    }),
    spec: strict({
      task: oneOf(['binary-classification']),
      riskTier: oneOf(['low', 'high']),
      features: Type.Array(FeatureSchema, { minItems: 1, maxItems: 1000 }),
      target: column,
      data: DataSchema,
      trainer: strict({
        name: label,
        seed: Type.Integer({ minimum: 0, maximum: 2_147_483_647 }),
        parameters: Type.Optional(ParameterValues),
      }),
      gates: Type.Array(GateSchema, { minItems: 1, maxItems: 50 }),
      guardrails: Type.Array(GuardrailSchema, { minItems: 1, maxItems: GUARDRAIL_NAMES.length }),
      slo: strict({ latencyMs: Type.Number({ exclusiveMinimum: 0, maximum: 60_000 }) }),
      approval: Type.Optional(
        strict({
          timeout: Type.Optional(duration(DEFAULTS.approvalTimeout)),
          valid: Type.Optional(duration(DEFAULTS.approvalValid)),
        }),
      ),
      rollout: RolloutSchema,
      serving: Type.Optional(ServingSchema),
      featureViews: Type.Optional(
        Type.Array(strict({ name: viewName, entity: column, ttl: duration() }), { maxItems: 100 }),
      ),
      experiments: Type.Optional(Type.Array(ExperimentSchema, { maxItems: 50 })),
    }),
  }),
);

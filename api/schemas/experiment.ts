/** Experiments and rewards on the wire. */
import { Type } from 'typebox';

import { EXPERIMENT_OUTCOMES } from '../../domain/experiments/index.ts';
import type { ExperimentSnapshot, OffPolicyResult } from '../../domain/experiments/index.ts';
import type { ExperimentRunView } from '../../workflows/messages.ts';
import type { ExperimentDetail } from '../experiment-detail.ts';
import type { RewardReceipt, StoredExperiment } from '../experiment-ports.ts';
import { DigestSchema, Instant, ModelName, Reason, UnixMs, nullable, oneOf, strict } from './common.ts';

export const MAX_REWARDS = 1000;

const experimentName = Type.String({
  pattern: '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$',
  description: 'a name of lower-case letters, digits and -, at most 63',
});

export const ExperimentParams = strict({ name: ModelName, experiment: experimentName });
export const ListExperimentsQuery = strict({ model: Type.Optional(ModelName) });
export const HistoryQuery = strict({ limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })) });
export const StopBody = strict({ reason: Reason });
export const EvaluateBody = strict({
  shares: Type.Unsafe<Record<string, number>>({
    type: 'object',
    description: 'arm → percent; arms that are left out have none',
    minProperties: 1,
    maxProperties: 10,
    additionalProperties: { type: 'number', minimum: 0, maximum: 100 },
  }),
});

const outcome = oneOf(EXPERIMENT_OUTCOMES);
const text = Type.Unsafe<string>(Type.String());
const interval = strict({ lower: Type.Number(), upper: Type.Number() });
const number = Type.Unsafe<number>(Type.Number());

const StoredSchema = strict({
  endpoint: Type.String(),
  name: Type.String(),
  plan: Type.Object({}, { additionalProperties: true, description: 'as declared, with defaults filled in' }),
  arms: Type.Array(strict({ name: Type.String(), version: DigestSchema })),
  generation: Type.Integer(),
  outcome: nullable(outcome),
  reason: nullable(text),
  winner: nullable(text),
  startedBy: Type.String(),
  startedAtMs: UnixMs,
  endedAtMs: nullable(number),
});

export interface ListedExperiment extends StoredExperiment {
  readonly status: ExperimentDetail['status'];
}

const status = oneOf(['running', 'ended', 'lost'] as const);

export const ExperimentListSchema = Type.Unsafe<{ readonly experiments: readonly ListedExperiment[] }>(
  strict({ experiments: Type.Array(strict({ ...StoredSchema.properties, status })) }),
);

const comparison = Type.Unsafe<object>(
  strict({
    arm: Type.String(),
    control: Type.String(),
    difference: nullable(number),
    interval,
    logE: Type.Number(),
    pValue: Type.Number(),
  }),
);

export const ExperimentDetailSchema = Type.Unsafe<ExperimentDetail>(
  strict({
    experiment: StoredSchema,
    status,
    snapshot: Type.Integer(),
    atMs: UnixMs,
    arms: Type.Array(
      strict({
        name: Type.String(),
        version: DigestSchema,
        decisions: Type.Integer(),
        rewards: Type.Integer(),
        mean: nullable(number),
        interval,
        shareBp: nullable(number),
        posterior: nullable(Type.Unsafe<object>(strict({ a: Type.Number(), b: Type.Number() }))),
        comparison: nullable(comparison),
      }),
    ),
    rewards: strict({
      received: Type.Integer(),
      counted: Type.Integer(),
      late: Type.Integer(),
      invalid: Type.Integer(),
      waiting: Type.Integer(),
      duplicate: Type.Integer(),
      conflicting: Type.Integer(),
    }),
    sampleRatio: strict({ checked: Type.Boolean(), mismatch: nullable(text) }),
    result: strict({ outcome: nullable(outcome), reason: Type.String(), winner: nullable(text) }),
  }),
);

export const ExperimentRunSchema = Type.Unsafe<ExperimentRunView>(
  strict({
    generation: nullable(number),
    open: Type.Boolean(),
    stopping: nullable(text),
    end: nullable(Type.Unsafe<object>(strict({ outcome, reason: Type.String(), winner: nullable(text) }))),
  }),
);

export const HistorySchema = Type.Unsafe<{ readonly snapshots: readonly ExperimentSnapshot[] }>(
  strict({
    snapshots: Type.Array(
      Type.Object({ version: Type.Integer(), atMs: UnixMs }, { additionalProperties: true }),
    ),
  }),
);

const estimate = strict({ value: Type.Number(), standardError: nullable(number), interval: Type.Object({}) });

export const OffPolicySchema = Type.Unsafe<OffPolicyResult>(
  strict({
    rows: Type.Integer(),
    ips: estimate,
    snips: estimate,
    effectiveSampleSize: Type.Number(),
    largestWeight: Type.Number(),
    clipped: Type.Integer(),
  }),
);

export const RewardsBody = strict({
  rewards: Type.Array(
    strict({
      predictionId: Type.String({ minLength: 1, maxLength: 128, pattern: '^[\\x21-\\x7e]+$' }),
      reward: Type.Number({ minimum: 0, maximum: 1, description: 'from 0 to 1; a conversion is 0 or 1' }),
      observedAt: Type.Optional(Instant),
    }),
    { minItems: 1, maxItems: MAX_REWARDS },
  ),
});

export const RewardsSchema = Type.Unsafe<RewardReceipt>(
  strict({
    accepted: Type.Integer({ description: 'stored; counts when its decision is known and it came in time' }),
    duplicate: Type.Integer({ description: 'the same reward was there already' }),
    conflicting: Type.Integer({ description: 'another reward was there already; the first one stands' }),
  }),
);

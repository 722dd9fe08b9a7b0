/** Releases on the wire. */
import { Type } from 'typebox';

import { RELEASE_OUTCOMES, RELEASE_PHASES } from '../../domain/release/release.ts';
import type { Release, ReleaseEvent } from '../../domain/release/release.ts';
import type { ReleaseView } from '../../workflows/messages.ts';
import {
  DigestSchema,
  ModelName,
  ParameterValues,
  Reason,
  UnixMs,
  nullable,
  oneOf,
  strict,
} from './common.ts';

const phase = oneOf(RELEASE_PHASES);
const outcome = nullable(oneOf(RELEASE_OUTCOMES));
const text = Type.Unsafe<string>({ type: 'string' });
const count = Type.Object({ trials: Type.Integer(), bad: Type.Integer() });

export const ReleaseSchema = Type.Unsafe<Release>(
  strict({
    id: Type.String({ description: '`<model>/<number>`' }),
    model: ModelName,
    endpoint: Type.String(),
    manifestDigest: Type.String(),
    parameters: ParameterValues,
    skipShadow: Type.Boolean(),
    submittedBy: Type.String(),
    phase,
    outcome,
    reason: nullable(text),
    candidate: nullable(DigestSchema),
    bootstrap: Type.Boolean(),
    createdAtMs: UnixMs,
    updatedAtMs: UnixMs,
  }),
);

const EventSchema = Type.Unsafe<ReleaseEvent>(
  strict({
    atMs: UnixMs,
    phase,
    message: Type.String(),
    detail: Type.Object({}, { additionalProperties: true }),
  }),
);

const stepView = {
  kind: oneOf(['shadow', 'canary']),
  index: Type.Integer(),
  weight: Type.Number(),
  generation: Type.Integer(),
};

/** The workflow's own words: it may be newer than this API, so unknown members are allowed. */
const ViewSchema = Type.Unsafe<ReleaseView>(
  Type.Object({
    releaseId: Type.String(),
    phase,
    outcome,
    reason: nullable(text),
    candidate: nullable(DigestSchema),
    bootstrap: Type.Boolean(),
    approvalsNeeded: Type.Integer(),
    decisions: Type.Array(
      Type.Object({
        approver: Type.String(),
        decision: oneOf(['approved', 'rejected']),
        comment: Type.String(),
      }),
    ),
    paused: Type.Boolean(),
    step: nullable(Type.Object(stepView)),
    steps: Type.Array(
      Type.Object({
        ...stepView,
        verdict: oneOf(['REGRESSION', 'PROVEN_SAFE', 'INCONCLUSIVE', 'TELEMETRY_LOST']),
        reason: Type.String(),
        readings: Type.Array(
          Type.Object({
            guardrail: Type.String(),
            logRegression: nullable(Type.Number()),
            logSafety: nullable(Type.Number()),
            champion: count,
            candidate: count,
          }),
        ),
      }),
    ),
    waitingFor: nullable(oneOf(['approval', 'resume', 'answer'])),
  }),
);

export interface ReleaseDetail {
  readonly release: Release;
  readonly timeline: readonly ReleaseEvent[];
  /** Null when the release has ended, or when its workflow does not answer. */
  readonly live: ReleaseView | null;
}

export const ReleaseDetailSchema = Type.Unsafe<ReleaseDetail>(
  strict({ release: ReleaseSchema, timeline: Type.Array(EventSchema), live: nullable(ViewSchema) }),
);

export interface AcceptedRelease {
  readonly release: Release;
  /** False when Temporal did not answer: the release is kept and starts as soon as it does. */
  readonly started: boolean;
}

export const AcceptedReleaseSchema = Type.Unsafe<AcceptedRelease>(
  strict({ release: ReleaseSchema, started: Type.Boolean() }),
);

export const ReleaseListSchema = Type.Unsafe<{ readonly releases: readonly Release[] }>(
  strict({ releases: Type.Array(ReleaseSchema) }),
);

export const NewReleaseBody = strict({
  model: ModelName,
  parameters: Type.Optional(ParameterValues),
  skipShadow: Type.Optional(Type.Boolean()),
});

export const DecisionBody = strict({
  digest: DigestSchema,
  comment: Type.Optional(Type.String({ maxLength: 2000 })),
});
export const CommandBody = strict({ reason: Reason });

export const ApprovalAnswerSchema = strict({ approved: Type.Integer(), needed: Type.Integer() });

export const ReleaseParams = strict({
  model: ModelName,
  number: Type.Integer({ minimum: 1, maximum: 2_147_483_647 }),
});

/** Sent again with the same key, a request is not carried out twice. */
export const IdempotencyHeaders = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({ minLength: 1, maxLength: 200, pattern: '^[\\x21-\\x7e]+$' }),
  ),
});

export const ListReleasesQuery = strict({
  model: Type.Optional(ModelName),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 50 })),
});

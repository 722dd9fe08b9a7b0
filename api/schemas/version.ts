/** Model versions on the wire. */
import { Type } from 'typebox';

import type { Problem } from '../../domain/errors.ts';
import type {
  ApprovalDecision,
  FileEntry,
  Lineage,
  TensorSignature,
} from '../../domain/registry/model-version.ts';
import type { Digest } from '../../domain/routing/route.ts';
import type { ServingPeriod } from '../serving-periods.ts';
import {
  DigestPrefix,
  DigestSchema,
  Instant,
  ParameterValues,
  Reason,
  UnixMs,
  nullable,
  oneOf,
  strict,
} from './common.ts';

const digest = Type.Unsafe<string>(DigestSchema);
const tensors = Type.Array(
  strict({ name: Type.String(), datatype: Type.String(), shape: Type.Array(Type.Integer()) }),
);

const LineageSchema = Type.Unsafe<Lineage>(
  strict({
    releaseId: Type.String(),
    trainer: Type.String(),
    data: strict({ source: digest, snapshot: digest, rows: Type.Integer() }),
    code: digest,
    environment: digest,
    parameters: ParameterValues,
    seed: Type.Integer(),
    comparedWith: nullable(digest),
  }),
);

export interface VersionSummary {
  readonly digest: Digest;
  readonly model: string;
  readonly number: number;
  readonly releaseId: string;
  readonly createdAt: string;
  readonly revoked: boolean;
}

export const VersionListSchema = Type.Unsafe<{ readonly versions: readonly VersionSummary[] }>(
  strict({
    versions: Type.Array(
      strict({
        digest,
        model: Type.String(),
        number: Type.Integer(),
        releaseId: Type.String(),
        createdAt: Instant,
        revoked: Type.Boolean(),
      }),
    ),
  }),
);

export interface VersionDetail {
  readonly digest: Digest;
  readonly model: string;
  readonly number: number;
  readonly createdAt: string;
  readonly files: readonly FileEntry[];
  readonly signature: TensorSignature;
  readonly lineage: Lineage;
  /** Name of the key that signed it. */
  readonly keyId: string;
  readonly revoked: boolean;
}

export const VersionSchema = Type.Unsafe<VersionDetail>(
  strict({
    digest,
    model: Type.String(),
    number: Type.Integer(),
    createdAt: Instant,
    files: Type.Array(strict({ name: Type.String(), digest, size: Type.Integer() })),
    signature: strict({ inputs: tensors, outputs: tensors }),
    lineage: LineageSchema,
    keyId: Type.String(),
    revoked: Type.Boolean(),
  }),
);

/** A decision without its signature, which `verify` checks. */
type DecisionSummary = Pick<
  ApprovalDecision,
  'approver' | 'decision' | 'comment' | 'policyDigest' | 'evidenceDigest' | 'decidedAt' | 'expiresAt'
>;

/** From the data to what serves: each link names the digest that the next one was made from. */
export interface LineageChain {
  readonly digest: Digest;
  readonly model: string;
  readonly number: number;
  readonly lineage: Lineage;
  readonly release: {
    readonly id: string;
    readonly submittedBy: string;
    readonly createdAtMs: number;
  } | null;
  readonly decisions: readonly DecisionSummary[];
  readonly served: readonly ServingPeriod[];
  readonly revoked: boolean;
}

export const LineageChainSchema = Type.Unsafe<LineageChain>(
  strict({
    digest,
    model: Type.String(),
    number: Type.Integer(),
    lineage: LineageSchema,
    release: nullable(strict({ id: Type.String(), submittedBy: Type.String(), createdAtMs: UnixMs })),
    decisions: Type.Array(
      strict({
        approver: Type.String(),
        decision: oneOf(['approved', 'rejected']),
        comment: Type.String(),
        policyDigest: digest,
        evidenceDigest: digest,
        decidedAt: Instant,
        expiresAt: Instant,
      }),
    ),
    served: Type.Array(strict({ endpoint: Type.String(), fromMs: UnixMs, untilMs: nullable(UnixMs) })),
    revoked: Type.Boolean(),
  }),
);

export interface Verification {
  readonly digest: Digest;
  /** Whether a gateway would load it now. */
  readonly servable: boolean;
  readonly problems: readonly (Problem & { readonly code: string })[];
}

export const VerificationSchema = Type.Unsafe<Verification>(
  strict({
    digest,
    servable: Type.Boolean(),
    problems: Type.Array(
      strict({
        code: Type.String(),
        file: Type.Optional(Type.String()),
        path: Type.String(),
        reason: Type.String(),
      }),
    ),
  }),
);

export const VersionParams = strict({ digest: DigestPrefix });
export const RevokeBody = strict({ reason: Reason });
export const RevokedSchema = Type.Unsafe<{ readonly digest: Digest; readonly revoked: true }>(
  strict({ digest, revoked: Type.Literal(true) }),
);

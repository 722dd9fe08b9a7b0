/** The audit log on the wire. */
import { Type } from 'typebox';

import type { AuditRow } from '../../domain/registry/audit-chain.ts';
import type { BrokenStream } from '../ports.ts';
import { Instant, nullable, strict } from './common.ts';

export const AuditQuery = strict({
  stream: Type.Optional(
    Type.String({ minLength: 1, maxLength: 200, default: 'system', description: 'a model name, or system' }),
  ),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
  before: Type.Optional(Type.Integer({ minimum: 1, description: 'a row number; older rows follow' })),
});

export const AuditListSchema = Type.Unsafe<{ readonly rows: readonly AuditRow[] }>(
  strict({
    rows: Type.Array(
      strict({
        stream: Type.String(),
        seq: Type.Integer(),
        at: Instant,
        actor: Type.String(),
        action: Type.String(),
        subject: Type.String(),
        detail: Type.Unsafe<unknown>({ description: 'what was done, as JSON' }),
        prevHash: Type.String(),
        hash: Type.String(),
      }),
    ),
  }),
);

const brokenStream = Type.Unsafe<BrokenStream>(
  Type.Object({ stream: Type.String(), seq: Type.Integer(), reason: Type.String() }),
);

export interface AuditVerdict {
  readonly intact: boolean;
  readonly rows: number;
  readonly streams: number;
  readonly checkpoints: number;
  readonly firstBad: BrokenStream | null;
  /** The first bad row of each broken stream. */
  readonly broken: readonly BrokenStream[];
}

export const AuditVerdictSchema = Type.Unsafe<AuditVerdict>(
  strict({
    intact: Type.Boolean(),
    rows: Type.Integer(),
    streams: Type.Integer(),
    checkpoints: Type.Integer(),
    firstBad: nullable(brokenStream),
    broken: Type.Array(brokenStream),
  }),
);

/** The audit log: appending inside the transaction that it tells of, reading, checkpoints. `audit-verify.ts` checks it. */
import { and, desc, eq, lt, sql } from 'drizzle-orm';
import { buildCheckpointStatement, chainRow, canonicalJson, GENESIS } from '../domain/registry/index.ts';
import type { AuditRow, DsseEnvelope, JsonValue, Statement } from '../domain/registry/index.ts';
import { verifyAudit } from './audit-verify.ts';
import type { AuditReport, OpenEnvelope } from './audit-verify.ts';
import { rowsOf } from './database.ts';
import type { Database, Transaction } from './database.ts';
import { sha256 } from './digests.ts';
import { auditCheckpoints, auditHeads, auditLog } from './schema/governance.ts';
import { asStored } from './stored-value.ts';

/** What belongs to no single model. */
export const SYSTEM_STREAM = 'system';

export interface AuditNote {
  /** The model (and so the endpoint) that it is about, or `SYSTEM_STREAM`. */
  readonly stream: string;
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

interface Head {
  readonly seq: number;
  readonly hash: string;
  readonly at: string;
}

/**
 * Appends within `tx`. Locks the stream until the transaction ends, so callers append last and hold the lock shortly;
 * one stream per transaction, or two of them could wait for each other.
 */
export async function appendAudit(tx: Transaction, note: AuditNote): Promise<AuditRow> {
  const head = (await lockHead(tx, note.stream)) ?? (await createHead(tx, note.stream));
  const { stream, actor, action, subject } = note;
  const detail = asStored(note.detail) as JsonValue;
  const entry = { stream, seq: head.seq + 1, at: head.at, actor, action, subject, detail };
  const previous = head.seq === 0 ? null : { ...entry, seq: head.seq, prevHash: GENESIS, hash: head.hash };
  const row = chainRow(entry, previous, sha256);
  await rowsOf(
    tx,
    sql`with head as (update ${auditHeads} set seq = ${row.seq}, hash = ${row.hash} where stream = ${stream})
      insert into ${auditLog} (stream, seq, prev_hash, hash, actor, action, subject, detail, at)
      values (${stream}, ${row.seq}, ${row.prevHash}, ${row.hash}, ${actor}, ${action}, ${subject},
        ${canonicalJson(detail)}::jsonb, ${row.at}::timestamptz)`,
  );
  return row;
}

// The time is taken under the lock, so it does not run against the order of the rows.
const CLOCK = sql`to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

async function lockHead(tx: Transaction, stream: string): Promise<Head | undefined> {
  const [head] = await rowsOf<Head>(
    tx,
    sql`select seq::float8 as seq, hash, ${CLOCK} as at from ${auditHeads} where stream = ${stream} for update`,
  );
  return head;
}

async function createHead(tx: Transaction, stream: string): Promise<Head> {
  await tx.insert(auditHeads).values({ stream, seq: 0, hash: GENESIS }).onConflictDoNothing();
  const head = await lockHead(tx, stream);
  if (head === undefined) throw new Error(`audit stream ${stream} cannot be created`);
  return head;
}

export interface AuditLog {
  /** Newest first. `before` pages: rows of the stream with a lower number. */
  list(query: {
    readonly stream: string;
    readonly limit: number;
    readonly before?: number;
  }): Promise<readonly AuditRow[]>;
  streams(): Promise<readonly { readonly stream: string; readonly size: number; readonly head: string }[]>;
  /** Checks every stream and names the first bad row of each that is broken. `open` verifies a checkpoint's signature. */
  verify(open?: OpenEnvelope): Promise<AuditReport>;
  /** Signs the present head of every stream that grew since its last checkpoint; @returns how many. */
  checkpoint(sign: (statement: Statement) => Promise<DsseEnvelope>): Promise<number>;
}

export function createAuditLog(db: Database): AuditLog {
  const streams: AuditLog['streams'] = () =>
    db.read((orm) =>
      orm
        .select({ stream: auditHeads.stream, size: auditHeads.seq, head: auditHeads.hash })
        .from(auditHeads)
        .orderBy(auditHeads.stream),
    );
  return {
    streams,
    async list({ stream, limit, before }) {
      const rows = await db.read((orm) =>
        orm
          .select()
          .from(auditLog)
          .where(
            and(eq(auditLog.stream, stream), before === undefined ? undefined : lt(auditLog.seq, before)),
          )
          .orderBy(desc(auditLog.seq))
          .limit(limit),
      );
      return rows.map((row) => ({ ...row, at: row.at.toISOString() }));
    },
    verify: (open) => verifyAudit(db, open),
    async checkpoint(sign) {
      let signed = 0;
      for (const { stream, size, head } of await streams()) {
        const [latest] = await db.read((orm) =>
          orm
            .select({ size: auditCheckpoints.size })
            .from(auditCheckpoints)
            .where(eq(auditCheckpoints.stream, stream))
            .orderBy(desc(auditCheckpoints.size))
            .limit(1),
        );
        if (size === (latest?.size ?? 0)) continue;
        const at = new Date();
        const envelope = await sign(buildCheckpointStatement({ stream, size, head, at: at.toISOString() }));
        const rows = await db.read((orm) =>
          orm
            .insert(auditCheckpoints)
            .values({ stream, size, head, at, envelope })
            .onConflictDoNothing()
            .returning({ size: auditCheckpoints.size }),
        );
        signed += rows.length;
      }
      return signed;
    },
  };
}

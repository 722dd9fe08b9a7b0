/**
 * Checks the audit log against its chain, its heads and its checkpoints in batches, so that memory does not grow with
 * the log. Everything is read from one snapshot: rows that are appended meanwhile are not looked at.
 */
import { and, asc, eq, gt, sql } from 'drizzle-orm';
import { SlipwayError } from '../domain/errors.ts';
import { GENESIS, isDigest, parseCheckpointStatement, rowHash } from '../domain/registry/index.ts';
import type { AuditRow, Checkpoint, DsseEnvelope } from '../domain/registry/index.ts';
import { rowsOf } from './database.ts';
import type { Database, Transaction } from './database.ts';
import { sha256 } from './digests.ts';
import { auditCheckpoints, auditHeads, auditLog } from './schema/governance.ts';

const BATCH = 2_000;

/** Verifies the envelope's signature and gives back its statement. @throws SlipwayError SIGNATURE_INVALID */
export type OpenEnvelope = (envelope: DsseEnvelope) => unknown;

export interface BadRow {
  readonly stream: string;
  /** Number of the first bad row; of a removed row, the number that it had. */
  readonly seq: number;
  readonly kind: 'altered' | 'removed' | 'reordered';
  readonly reason: string;
}

export interface AuditReport {
  readonly ok: boolean;
  readonly rows: number;
  readonly streams: number;
  readonly checkpoints: number;
  /** The first bad row of each broken stream. */
  readonly broken: readonly BadRow[];
}

export function verifyAudit(db: Database, open?: OpenEnvelope): Promise<AuditReport> {
  return db.snapshot(async (tx) => {
    // Streams of rows whose head was removed count too.
    const streams = await rowsOf<{ stream: string }>(
      tx,
      sql`select stream from ${auditHeads} union select stream from ${auditLog}
        union select stream from ${auditCheckpoints} order by stream`,
    );
    let rows = 0;
    let checkpoints = 0;
    const broken: BadRow[] = [];
    for (const { stream } of streams) {
      const marks = await readCheckpoints(tx, stream, open);
      if ('seq' in marks) {
        broken.push(marks);
        continue;
      }
      const result = await verifyStream(tx, stream, marks);
      checkpoints += marks.length;
      rows += result.rows;
      if (result.bad !== null) broken.push(result.bad);
    }
    return { ok: broken.length === 0, rows, streams: streams.length, checkpoints, broken };
  });
}

async function verifyStream(
  tx: Transaction,
  stream: string,
  checkpoints: readonly Checkpoint[],
): Promise<{ readonly rows: number; readonly bad: BadRow | null }> {
  const marks = new Map(checkpoints.map((mark) => [mark.size, mark]));
  const [head] = await tx.select().from(auditHeads).where(eq(auditHeads.stream, stream));
  let previous: { readonly seq: number; readonly hash: string } = { seq: 0, hash: GENESIS };
  let sound = 0;
  const bad = (seq: number, kind: BadRow['kind'], reason: string) => ({
    rows: previous.seq,
    bad: { stream, seq, kind, reason },
  });
  for (;;) {
    const batch = await readRows(tx, stream, previous.seq);
    for (const row of batch) {
      const problem = await rowProblem(tx, row, previous);
      if (problem !== null) return { rows: previous.seq, bad: { stream, ...problem } };
      const mark = marks.get(row.seq);
      if (mark !== undefined && mark.head !== row.hash) {
        const reason = `rows ${sound + 1} to ${row.seq} are not those that the checkpoint of ${mark.at} was signed over`;
        return bad(sound + 1, 'altered', reason);
      }
      if (mark !== undefined) sound = row.seq;
      previous = row;
    }
    if (batch.length < BATCH) break;
  }
  const counted = Math.max(head?.seq ?? 0, ...checkpoints.map(({ size }) => size));
  if (counted > previous.seq) {
    return bad(previous.seq + 1, 'removed', `${counted} rows were written, ${previous.seq} are left`);
  }
  if (head === undefined) return bad(previous.seq, 'altered', 'the head of the stream is missing');
  if (head.seq !== previous.seq || head.hash !== previous.hash) {
    return bad(
      previous.seq,
      'altered',
      `the head of the stream names another hash or number for row ${previous.seq}`,
    );
  }
  return { rows: previous.seq, bad: null };
}

async function rowProblem(
  tx: Transaction,
  row: AuditRow,
  previous: { readonly seq: number; readonly hash: string },
): Promise<Omit<BadRow, 'stream'> | null> {
  const seq = previous.seq + 1;
  const intact = hashOf(row) === row.hash;
  if (row.seq !== seq) {
    return { seq, kind: 'removed', reason: `row ${seq} is missing` };
  }
  if (!intact) {
    const place = await originalPlace(tx, row);
    return place === null
      ? { seq, kind: 'altered', reason: `the content of row ${seq} does not match its hash` }
      : {
          seq,
          kind: 'reordered',
          reason: `in the place of row ${seq} stands what was written as row ${place}`,
        };
  }
  if (row.prevHash === previous.hash) return null;
  // This row is whole, so what it names as the hash before it is what that row had when this one was written.
  return seq === 1
    ? { seq, kind: 'altered', reason: 'row 1 does not start the chain' }
    : {
        seq: seq - 1,
        kind: 'altered',
        reason: `row ${seq - 1} was rewritten: row ${seq} names another hash for it`,
      };
}

/** The number under which the row's hash holds: it was moved there from that place. */
async function originalPlace(tx: Transaction, row: AuditRow): Promise<number | null> {
  const [last] = await rowsOf<{ seq: number }>(
    tx,
    sql`select coalesce(max(seq), 0)::float8 as seq from ${auditLog} where stream = ${row.stream}`,
  );
  for (let seq = 1; seq <= (last?.seq ?? 0); seq += 1) {
    if (hashOf({ ...row, seq }) === row.hash) return seq;
  }
  return null;
}

// What someone edited by hand may hold what has no hash at all; that is an altered row, not a crash.
function hashOf(row: AuditRow): string | null {
  if (!isDigest(row.prevHash)) return null;
  try {
    return rowHash(row, row.prevHash, sha256);
  } catch (error) {
    if (error instanceof SlipwayError && error.code === 'INVALID_REQUEST') return null;
    throw error;
  }
}

async function readRows(tx: Transaction, stream: string, after: number): Promise<readonly AuditRow[]> {
  const rows = await tx
    .select()
    .from(auditLog)
    .where(and(eq(auditLog.stream, stream), gt(auditLog.seq, after)))
    .orderBy(asc(auditLog.seq))
    .limit(BATCH);
  return rows.map((row) => ({ ...row, at: row.at.toISOString() }));
}

/** The checkpoints of a stream, smallest first; or the row that one of them betrays as forged. */
async function readCheckpoints(
  tx: Transaction,
  stream: string,
  open: OpenEnvelope | undefined,
): Promise<readonly Checkpoint[] | BadRow> {
  const stored = await tx
    .select()
    .from(auditCheckpoints)
    .where(eq(auditCheckpoints.stream, stream))
    .orderBy(asc(auditCheckpoints.size));
  const checkpoints: Checkpoint[] = [];
  for (const { envelope, size, head, at } of stored) {
    const row = { stream, size, head, at: at.toISOString() };
    const problem = open === undefined ? null : envelopeProblem(row, envelope, open);
    if (problem !== null) {
      return {
        stream,
        seq: size,
        kind: 'altered',
        reason: `the checkpoint at row ${size} is forged: ${problem}`,
      };
    }
    checkpoints.push(row);
  }
  return checkpoints;
}

function envelopeProblem(row: Checkpoint, envelope: DsseEnvelope, open: OpenEnvelope): string | null {
  try {
    const signed = parseCheckpointStatement(open(envelope));
    const same = signed.stream === row.stream && signed.size === row.size && signed.head === row.head;
    return same ? null : 'its columns are not what was signed';
  } catch (error) {
    if (error instanceof SlipwayError && error.code === 'SIGNATURE_INVALID') return error.message;
    throw error;
  }
}

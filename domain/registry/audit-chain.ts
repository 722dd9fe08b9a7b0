/**
 * The hash chain of the audit log: each row's hash covers the row and the hash before it, so nothing inside can be
 * changed, removed or moved without the chain telling where. What a chain alone cannot tell, a log cut off at the end
 * or rewritten whole, the signed checkpoints do.
 *
 * Row hash = SHA-256(32 raw bytes of the previous hash || canonical JSON of the row). One chain per stream; the stream
 * and the sequence number are inside the hashed row, so rows cannot change places between streams either.
 */
import type { Digest } from '../routing/route.ts';
import type { JsonValue } from './canonical-json.ts';
import type { Sha256 } from './digest.ts';
import type { Statement } from './dsse.ts';
import { SlipwayError } from '../errors.ts';
import { canonicalBytes } from './canonical-json.ts';
import { concatBytes, digestFromHex, digestOf, hexOf, isDigest, rawBytes } from './digest.ts';
import { STATEMENT_TYPE, invalid, parseStatement } from './dsse.ts';

export const CHECKPOINT_PREDICATE_TYPE = 'https://slipway.dev/attestation/audit-checkpoint/v1';

/** What the first row of a stream names as the hash before it. */
export const GENESIS: Digest = `sha256:${'0'.repeat(64)}`;

export interface AuditEntry {
  readonly stream: string;
  /** 1, 2, 3 … without a gap within a stream. */
  readonly seq: number;
  /** ISO 8601 in UTC with milliseconds. */
  readonly at: string;
  readonly actor: string;
  readonly action: string;
  /** What was acted on: a version digest, a release id, an endpoint. */
  readonly subject: string;
  readonly detail: JsonValue;
}

export interface AuditRow extends AuditEntry {
  readonly prevHash: Digest;
  readonly hash: Digest;
}

/** A row count and the hash of that row, signed at a time: rows up to there cannot be rewritten afterwards. */
export interface Checkpoint {
  readonly stream: string;
  readonly size: number;
  readonly head: Digest;
  readonly at: string;
}

export type ChainResult =
  | { readonly ok: true; readonly size: number; readonly head: Digest }
  | {
      readonly ok: false;
      /** Sequence number of the first bad row; of a removed row, the number that it had. */
      readonly seq: number;
      readonly kind: 'altered' | 'removed' | 'reordered';
      readonly reason: string;
    };

/** Appends to a chain: `previous` is the last row of the stream, or null for the first. */
export function chainRow(entry: AuditEntry, previous: AuditRow | null, sha256: Sha256): AuditRow {
  const expected = (previous?.seq ?? 0) + 1;
  if (entry.seq !== expected || (previous !== null && previous.stream !== entry.stream)) {
    throw new SlipwayError(
      'INTERNAL',
      `row ${entry.stream}/${entry.seq} does not follow; expected number ${expected}`,
    );
  }
  const prevHash = previous?.hash ?? GENESIS;
  return { ...pickEntry(entry), prevHash, hash: rowHash(entry, prevHash, sha256) };
}

export function rowHash(entry: AuditEntry, prevHash: Digest, sha256: Sha256): Digest {
  return digestOf(concatBytes([rawBytes(prevHash), canonicalBytes(pickEntry(entry))]), sha256);
}

/**
 * Checks one whole stream, given in the order in which it is stored, against its chain and its checkpoints (whose
 * signatures have been verified). Names the first bad row.
 */
export function verifyChain(
  rows: readonly AuditRow[],
  sha256: Sha256,
  checkpoints: readonly Checkpoint[] = [],
): ChainResult {
  let prevHash = GENESIS;
  for (const [index, row] of rows.entries()) {
    const seq = index + 1;
    if (row.seq !== seq || row.stream !== rows[0]?.stream) return misplaced(rows, index);
    const own = ownHash(row, sha256);
    if (own === undefined || row.hash !== own) {
      return bad(seq, 'altered', `the content of row ${seq} does not match its hash`);
    }
    if (row.prevHash !== prevHash) {
      // This row is whole, so what it names as the hash before it is what that row had when this one was written.
      return seq === 1
        ? bad(1, 'altered', 'row 1 does not start the chain')
        : bad(seq - 1, 'altered', `row ${seq - 1} was rewritten: row ${seq} names another hash for it`);
    }
    prevHash = row.hash;
  }
  return checkpointProblem(rows, checkpoints) ?? { ok: true, size: rows.length, head: prevHash };
}

export function buildCheckpointStatement({ stream, size, head, at }: Checkpoint): Statement {
  return {
    _type: STATEMENT_TYPE,
    subject: [{ name: stream, digest: { sha256: hexOf(head) } }],
    predicateType: CHECKPOINT_PREDICATE_TYPE,
    predicate: { size, at },
  };
}

/** Reads a statement whose signature has been verified. @throws SlipwayError `SIGNATURE_INVALID`. */
export function parseCheckpointStatement(value: unknown): Checkpoint {
  const { subject, predicate } = parseStatement(value, CHECKPOINT_PREDICATE_TYPE);
  const head = digestFromHex(subject[0]?.digest.sha256);
  const { size, at } = predicate;
  if (head === undefined || typeof at !== 'string')
    throw invalid('the signed checkpoint has no head hash or time');
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw invalid('the signed checkpoint has no size');
  }
  return { stream: subject[0]?.name ?? '', size, head, at };
}

function pickEntry({ stream, seq, at, actor, action, subject, detail }: AuditEntry): AuditEntry {
  return { stream, seq, at, actor, action, subject, detail };
}

// A row that someone edited by hand may hold what has no hash at all; that is an altered row, not a crash.
function ownHash(row: AuditRow, sha256: Sha256): Digest | undefined {
  if (!isDigest(row.prevHash)) return undefined;
  try {
    return rowHash(row, row.prevHash, sha256);
  } catch (error) {
    if (error instanceof SlipwayError && error.code === 'INVALID_REQUEST') return undefined;
    throw error;
  }
}

function misplaced(rows: readonly AuditRow[], index: number): ChainResult {
  const seq = index + 1;
  const row = rows[index];
  if (row !== undefined && row.stream !== rows[0]?.stream) {
    return bad(seq, 'altered', `row ${seq} belongs to the stream ${row.stream}`);
  }
  const later = rows.some((other, at) => at > index && other.seq === seq);
  if (later) return bad(seq, 'reordered', `row ${seq} is not in its place`);
  if (row !== undefined && row.seq < seq)
    return bad(seq, 'reordered', `row ${row.seq} is there again in place ${seq}`);
  return bad(seq, 'removed', `row ${seq} is missing`);
}

function checkpointProblem(
  rows: readonly AuditRow[],
  checkpoints: readonly Checkpoint[],
): ChainResult | undefined {
  let sound = 0;
  for (const { stream, size, head, at } of [...checkpoints].sort((a, b) => a.size - b.size)) {
    if (rows[0] !== undefined && stream !== rows[0].stream) {
      throw new SlipwayError('INTERNAL', `a checkpoint of ${stream} was given for ${rows[0].stream}`);
    }
    if (size > rows.length) {
      return bad(
        rows.length + 1,
        'removed',
        `the checkpoint of ${at} counts ${size} rows, ${rows.length} are left`,
      );
    }
    const hash = size === 0 ? GENESIS : rows[size - 1]?.hash;
    if (hash !== head) {
      const reason = `rows ${sound + 1} to ${size} are not those that the checkpoint of ${at} was signed over`;
      return bad(sound + 1, 'altered', reason);
    }
    sound = size;
  }
  return undefined;
}

function bad(seq: number, kind: 'altered' | 'removed' | 'reordered', reason: string): ChainResult {
  return { ok: false, seq, kind, reason };
}

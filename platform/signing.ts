/**
 * Signs and verifies model versions, approvals and audit checkpoints.
 *
 * The promise behind "only what was verified is served": each signed file is read once, the very bytes that were read
 * are hashed, and those bytes are handed out. Nothing is read again between the check and the use. No database and no
 * global state, so that a gateway can call this from a worker thread.
 */
import type { Digest } from '../domain/routing/route.ts';
import type { ErrorCode } from '../domain/errors.ts';
import type { FileProblem, VersionFiles } from './version-files.ts';
import type { SigningKey } from './keys.ts';
import type { Trust } from './envelope.ts';
import { SlipwayError } from '../domain/errors.ts';
import type {
  Approval,
  ApprovalDecision,
  ApprovalScope,
  Checkpoint,
  DsseEnvelope,
  Lineage,
  ModelStatement,
  SignedFile,
  SigstoreBundle,
  TensorSignature,
} from '../domain/registry/index.ts';
import {
  BUNDLE_MEDIA_TYPE,
  buildApprovalStatement,
  buildCheckpointStatement,
  buildModelStatement,
  canonicalBytes,
  digestOf,
  isIgnored,
  parseApprovalStatement,
  parseBundle,
  parseCheckpointStatement,
  parseEnvelope,
  parseModelStatement,
  scopeProblem,
} from '../domain/registry/index.ts';
import { openEnvelope, signStatement } from './envelope.ts';
import { sha256 } from './sha256.ts';

export interface VersionToSign {
  readonly model: string;
  readonly files: readonly SignedFile[];
  readonly tensors: TensorSignature;
  readonly lineage: Lineage;
}

export interface VersionToVerify extends Trust {
  readonly files: VersionFiles;
  readonly bundle: unknown;
  /** The version that is meant: a valid signature of another version is refused. */
  readonly expectedRoot?: Digest;
}

export interface VersionProblem extends Omit<FileProblem, 'code' | 'file'> {
  readonly code: ErrorCode;
  /** Absent when it is about the signature. */
  readonly file?: string;
}

export interface VerifiedVersion {
  readonly statement: ModelStatement;
  readonly keyId: string;
  /** The bytes that were hashed. @throws SlipwayError `FILE_MISSING` for a name that is not signed. */
  readonly bytesOf: (name: string) => Uint8Array;
}

export type VersionCheck =
  | { readonly ok: true; readonly version: VerifiedVersion }
  | { readonly ok: false; readonly problems: readonly VersionProblem[] };

/** OpenSSF model-signing bundle over the files of a version; its root digest is the version's identity. */
export function signVersion(version: VersionToSign, key: SigningKey): SigstoreBundle {
  const facts = { tensors: version.tensors, lineageDigest: lineageDigest(version.lineage) };
  const envelope = signStatement(buildModelStatement(version.model, version.files, facts, sha256), key);
  return {
    mediaType: BUNDLE_MEDIA_TYPE,
    verificationMaterial: { publicKey: { hint: key.keyId }, tlogEntries: [] },
    dsseEnvelope: envelope,
  };
}

/** What the signature of a version binds its lineage by. */
export function lineageDigest(lineage: Lineage): Digest {
  return digestOf(canonicalBytes(lineage), sha256);
}

/** Verifies a version and lists every problem, worst first. */
export async function checkVersion(input: VersionToVerify): Promise<VersionCheck> {
  const opened = openVersion(input);
  if ('code' in opened) return { ok: false, problems: [opened, ...input.files.problems] };
  const { statement, keyId } = opened;
  const problems: VersionProblem[] = [];
  if (input.expectedRoot !== undefined && statement.root !== input.expectedRoot) {
    const reason = `the signature is for another version, ${statement.root}`;
    problems.push({ code: 'SIGNATURE_INVALID', path: '', reason });
  }
  problems.push(...input.files.problems);
  const reported = new Set(input.files.problems.map(({ file }) => file));
  const bytes = new Map<string, Uint8Array>();
  for (const file of statement.files) {
    const result = await readSigned(input.files, file);
    if (result instanceof Uint8Array) bytes.set(file.name, result);
    else if (!reported.has(file.name)) problems.push(result);
  }
  const signed = new Set(statement.files.map(({ name }) => name));
  for (const name of input.files.names) {
    if (signed.has(name) || isIgnored(name, statement.ignorePaths)) continue;
    problems.push({
      code: 'FILE_UNSIGNED',
      file: name,
      path: '',
      reason: 'it is not part of what was signed',
    });
  }
  if (problems.length > 0) return { ok: false, problems };
  return { ok: true, version: { statement, keyId, bytesOf: (name) => bytesIn(bytes, name) } };
}

/** @throws SlipwayError with the code of the worst problem and all problems listed. */
export async function verifyVersion(input: VersionToVerify): Promise<VerifiedVersion> {
  const result = await checkVersion(input);
  if (result.ok) return result.version;
  throw refusal(result.problems);
}

export function signApproval(decision: ApprovalDecision, key: SigningKey): Approval {
  return { ...decision, envelope: signStatement(buildApprovalStatement(decision), key) };
}

/**
 * The approval in an envelope, read from what was signed and from nothing else.
 * @throws SlipwayError `SIGNATURE_INVALID`, `SIGNER_NOT_TRUSTED`, `VERSION_REVOKED` (its key), or `STALE_REVIEW` when
 *   it is about something else than `scope`.
 */
export function verifyApproval(value: unknown, scope: ApprovalScope, trust: Trust): Approval {
  const envelope = parseEnvelope(value);
  const decision = parseApprovalStatement(openEnvelope(envelope, envelope.signatures[0]?.keyid ?? '', trust));
  const problem = scopeProblem(decision, scope);
  if (problem !== undefined)
    throw new SlipwayError('STALE_REVIEW', `the approval does not count: ${problem}`);
  return { ...decision, envelope };
}

export function signCheckpoint(checkpoint: Checkpoint, key: SigningKey): DsseEnvelope {
  return signStatement(buildCheckpointStatement(checkpoint), key);
}

/** @throws SlipwayError `SIGNATURE_INVALID`, `SIGNER_NOT_TRUSTED` or `VERSION_REVOKED` (its key). */
export function verifyCheckpoint(value: unknown, trust: Trust): Checkpoint {
  const envelope = parseEnvelope(value);
  return parseCheckpointStatement(openEnvelope(envelope, envelope.signatures[0]?.keyid ?? '', trust));
}

function openVersion(input: VersionToVerify): { statement: ModelStatement; keyId: string } | VersionProblem {
  try {
    const { dsseEnvelope, verificationMaterial } = parseBundle(input.bundle);
    const keyId = verificationMaterial.publicKey.hint;
    return { statement: parseModelStatement(openEnvelope(dsseEnvelope, keyId, input), sha256), keyId };
  } catch (error) {
    if (!(error instanceof SlipwayError)) throw error;
    return { code: error.code, path: '', reason: error.message };
  }
}

async function readSigned(
  files: VersionFiles,
  { name, digest }: SignedFile,
): Promise<Uint8Array | VersionProblem> {
  let bytes: Uint8Array;
  try {
    if (!files.names.includes(name)) throw new SlipwayError('FILE_MISSING', 'it was signed and is not there');
    bytes = await files.read(name);
  } catch (error) {
    if (!(error instanceof SlipwayError)) throw error;
    // The store refuses damaged bytes by itself; to the one who verifies that is a file with another digest.
    const code = error.code === 'DIGEST_CONFLICT' ? 'FILE_DIGEST_MISMATCH' : error.code;
    return { code, file: name, path: '', reason: error.message };
  }
  const actual = digestOf(bytes, sha256);
  if (actual === digest) return bytes;
  const reason = `its digest is ${actual}, signed was ${digest}`;
  return { code: 'FILE_DIGEST_MISMATCH', file: name, path: '', reason };
}

function bytesIn(bytes: ReadonlyMap<string, Uint8Array>, name: string): Uint8Array {
  const found = bytes.get(name);
  if (found === undefined) throw new SlipwayError('FILE_MISSING', `the version has no file ${name}`);
  return found;
}

function refusal(problems: readonly VersionProblem[]): SlipwayError {
  const list = problems.map(
    ({ code, file, reason }) => `${code}${file === undefined ? '' : ` ${file}`}: ${reason}`,
  );
  return new SlipwayError(
    problems[0]?.code ?? 'INTERNAL',
    `the model version is refused: ${list.join('; ')}`,
    {
      problems: problems.map(({ code, file, path, reason }) => ({
        ...(file === undefined ? {} : { file }),
        path,
        reason: `${code}: ${reason}`,
      })),
    },
  );
}

/**
 * The statement that the signature of a model version covers: OpenSSF model-signing v1.0, so that the `model-signing`
 * tool verifies what Slipway signs and the other way round.
 *
 * Root digest = SHA-256 over the raw digests of all files in name order. Slipway adds one member to the predicate,
 * `slipway`, which other verifiers ignore as the format demands: the tensor signature and the digest of the lineage,
 * so that neither can be changed in the registry without breaking the signature.
 */
import type { Digest } from '../routing/route.ts';
import type { FileEntry, TensorSignature } from './model-version.ts';
import type { JsonValue } from './canonical-json.ts';
import type { Sha256 } from './digest.ts';
import type { Statement } from './dsse.ts';
import { SlipwayError } from '../errors.ts';
import { concatBytes, digestFromHex, digestOf, hexOf, rawBytes } from './digest.ts';
import { STATEMENT_TYPE, invalid, parseStatement, record } from './dsse.ts';
import { IGNORED_PATHS, compareFileNames, fileNameProblem, isIgnored } from './file-name.ts';

export const MODEL_PREDICATE_TYPE = 'https://model_signing/signature/v1.0';

export type SignedFile = Pick<FileEntry, 'name' | 'digest'>;

/** What Slipway signs beside the files. */
export interface SignedFacts {
  readonly tensors: TensorSignature;
  readonly lineageDigest: Digest;
}

export interface ModelStatement {
  readonly model: string;
  readonly root: Digest;
  readonly files: readonly SignedFile[];
  readonly ignorePaths: readonly string[];
  /** Absent when another tool signed it. */
  readonly facts: { readonly [key: string]: JsonValue } | undefined;
}

/**
 * The root digest of a version: its identity, independent of the order in which the files are given.
 * @throws SlipwayError `INVALID_REQUEST` with every problem when the names cannot be signed.
 */
export function rootDigest(files: readonly SignedFile[], sha256: Sha256): Digest {
  return rootInOrder(checkedFiles(files), sha256);
}

/** @throws SlipwayError `INVALID_REQUEST` with every problem when the names cannot be signed. */
export function buildModelStatement(
  model: string,
  files: readonly SignedFile[],
  facts: SignedFacts,
  sha256: Sha256,
): Statement {
  const sorted = checkedFiles(files);
  return {
    _type: STATEMENT_TYPE,
    subject: [{ name: model, digest: { sha256: hexOf(rootInOrder(sorted, sha256)) } }],
    predicateType: MODEL_PREDICATE_TYPE,
    predicate: {
      serialization: {
        method: 'files',
        hash_type: 'sha256',
        allow_symlinks: false,
        ignore_paths: [...IGNORED_PATHS],
      },
      resources: sorted.map(({ name, digest }) => ({ name, algorithm: 'sha256', digest: hexOf(digest) })),
      slipway: { tensors: tensorsAsJson(facts.tensors), lineageDigest: facts.lineageDigest },
    },
  };
}

/**
 * Reads a statement whose signature has been verified, whoever signed it.
 * @throws SlipwayError `SIGNATURE_INVALID` when it is inconsistent or of a kind that is not supported,
 *   `SYMLINK_REFUSED` when it was signed with symbolic links followed.
 */
export function parseModelStatement(value: unknown, sha256: Sha256): ModelStatement {
  const { subject, predicate } = parseStatement(value, MODEL_PREDICATE_TYPE);
  const ignorePaths = checkSerialization(predicate['serialization']);
  const files = parseResources(predicate['resources']);
  const root = digestFromHex(subject[0]?.digest.sha256);
  if (root === undefined || root !== rootInOrder(files, sha256)) {
    throw invalid('the root digest of the signed statement is not the digest of its files');
  }
  const facts = predicate['slipway'];
  return {
    model: subject[0]?.name ?? '',
    root,
    files,
    ignorePaths,
    facts: facts === undefined ? undefined : (record(facts, 'predicate.slipway') as ModelStatement['facts']),
  };
}

/** The tensor signature as it is signed: only the fields that mean something, so that extra ones do not matter. */
export function tensorsAsJson(tensors: TensorSignature): JsonValue {
  const list = (specs: TensorSignature['inputs']): JsonValue =>
    specs.map(({ name, datatype, shape }) => ({ name, datatype, shape: [...shape] }));
  return { inputs: list(tensors.inputs), outputs: list(tensors.outputs) };
}

function rootInOrder(files: readonly SignedFile[], sha256: Sha256): Digest {
  return digestOf(concatBytes(files.map(({ digest }) => rawBytes(digest))), sha256);
}

function checkedFiles(files: readonly SignedFile[]): SignedFile[] {
  const problems: { file: string; path: string; reason: string }[] = [];
  const seen = new Set<string>();
  for (const { name } of files) {
    const reason =
      fileNameProblem(name) ??
      (isIgnored(name, IGNORED_PATHS)
        ? 'this name is left out of every signature; choose another'
        : undefined) ??
      (seen.has(name) ? 'the name is there twice' : undefined);
    if (reason !== undefined) problems.push({ file: name, path: '', reason });
    seen.add(name);
  }
  if (files.length === 0)
    problems.push({ file: '', path: '', reason: 'a model version has at least one file' });
  if (problems.length > 0) {
    const list = problems.map(({ file, reason }) => `${JSON.stringify(file)}: ${reason}`).join('; ');
    throw new SlipwayError('INVALID_REQUEST', `these files cannot be a model version: ${list}`, { problems });
  }
  return [...files].sort((a, b) => compareFileNames(a.name, b.name));
}

function checkSerialization(value: unknown): readonly string[] {
  const serialization = record(value, 'predicate.serialization');
  if (serialization['method'] !== 'files' || serialization['hash_type'] !== 'sha256') {
    throw invalid(
      'only signatures over whole files with SHA-256 are supported; sign again with these settings',
    );
  }
  if (serialization['allow_symlinks'] !== false) {
    throw new SlipwayError(
      'SYMLINK_REFUSED',
      'the version was signed with symbolic links followed; replace them by files and sign again',
    );
  }
  const ignored = serialization['ignore_paths'] ?? [];
  if (!Array.isArray(ignored) || !ignored.every((path): path is string => typeof path === 'string')) {
    throw invalid('predicate.serialization.ignore_paths must be a list of strings');
  }
  return ignored;
}

function parseResources(value: unknown): readonly SignedFile[] {
  if (!Array.isArray(value) || value.length === 0) throw invalid('the signed statement names no file');
  const files: SignedFile[] = [];
  for (const item of value) {
    const resource = record(item, 'a signed file');
    const name = resource['name'];
    const digest = digestFromHex(resource['digest']);
    const problem = fileNameProblem(name);
    if (typeof name !== 'string' || problem !== undefined)
      throw invalid(`signed file ${String(name)}: ${problem}`);
    if (resource['algorithm'] !== 'sha256' || digest === undefined) {
      throw invalid(`signed file ${name}: no SHA-256 digest`);
    }
    const previous = files.at(-1);
    // Another order of the same files would be another root digest for the same version.
    if (previous !== undefined && compareFileNames(previous.name, name) >= 0) {
      throw invalid(`signed file ${name}: the files are not in name order, or one is there twice`);
    }
    files.push({ name, digest });
  }
  return files;
}

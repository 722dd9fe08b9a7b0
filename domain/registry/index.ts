/**
 * The rules of the registry, without any side effect: what a model version is, which bytes a signature covers, which
 * approvals count, how the audit log is chained.
 *
 * Promises: the digest of a version depends on its files alone and is the one that the OpenSSF model-signing tool
 * computes; every signed document has one canonical text; whatever does not parse is refused, never defaulted. Hashing
 * is handed in (`Sha256`), signing and files belong to `platform/`.
 */
export { canonicalBytes, canonicalJson } from './canonical-json.ts';
export type { JsonValue } from './canonical-json.ts';
export { digestOf, hexOf, isDigest } from './digest.ts';
export type { Sha256 } from './digest.ts';
export { compareFileNames, fileNameProblem, isIgnored } from './file-name.ts';
export {
  parseBundle,
  parseEnvelope,
  preAuthEncoding,
  BUNDLE_MEDIA_TYPE,
  IN_TOTO_PAYLOAD_TYPE,
} from './dsse.ts';
export type { DsseEnvelope, SigstoreBundle, Statement } from './dsse.ts';
export { buildModelStatement, parseModelStatement, rootDigest, tensorsAsJson } from './statement.ts';
export type { ModelStatement, SignedFile } from './statement.ts';
export {
  buildApprovalStatement,
  parseApprovalStatement,
  quorumProblem,
  scopeProblem,
} from './approval-statement.ts';
export type { ApprovalScope } from './approval-statement.ts';
export {
  GENESIS,
  buildCheckpointStatement,
  chainRow,
  parseCheckpointStatement,
  rowHash,
  verifyChain,
} from './audit-chain.ts';
export type { AuditEntry, AuditRow, ChainResult, Checkpoint } from './audit-chain.ts';
export { DATATYPES } from './model-version.ts';
export type {
  Approval,
  ApprovalDecision,
  Datatype,
  FileEntry,
  Lineage,
  ModelVersion,
  Revocations,
  TensorSignature,
  TensorSpec,
  VersionDescriptor,
} from './model-version.ts';

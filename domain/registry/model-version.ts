/**
 * A model version: immutable bytes named by their root digest, what is known about them, who approved them, and the
 * descriptor that a gateway loads it from.
 */
import type { Digest } from '../routing/route.ts';
import type { ParameterValue } from '../manifest/model-manifest.ts';
import type { DsseEnvelope, SigstoreBundle } from './dsse.ts';

export interface FileEntry {
  /** Relative POSIX path inside the version, see `file-name.ts`. */
  readonly name: string;
  readonly digest: Digest;
  /** Bytes. For people and quotas: what is signed is the digest. */
  readonly size: number;
}

/** Tensor element types as the Open Inference Protocol V2 names them. */
export const DATATYPES = [
  'BOOL',
  'UINT8',
  'UINT16',
  'UINT32',
  'UINT64',
  'INT8',
  'INT16',
  'INT32',
  'INT64',
  'FP16',
  'FP32',
  'FP64',
  'BYTES',
] as const;
export type Datatype = (typeof DATATYPES)[number];

export interface TensorSpec {
  readonly name: string;
  readonly datatype: Datatype;
  /** -1 stands for any length, as in V2 metadata. */
  readonly shape: readonly number[];
}

export interface TensorSignature {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

/** Everything that the bytes were made from: enough to make them again and compare. */
export interface Lineage {
  readonly releaseId: string;
  readonly trainer: string;
  readonly data: {
    /** The raw file. */
    readonly source: Digest;
    /** The rows that were trained on, as stored. */
    readonly snapshot: Digest;
    readonly rows: number;
  };
  readonly code: Digest;
  readonly environment: Digest;
  readonly parameters: Readonly<Record<string, ParameterValue>>;
  readonly seed: number;
  /** The champion that the gates compared it with; null for the first release of an endpoint. */
  readonly comparedWith: Digest | null;
}

export interface ModelVersion {
  /** Root digest: the identity. Everything else is a label. */
  readonly digest: Digest;
  readonly model: string;
  readonly files: readonly FileEntry[];
  readonly signature: TensorSignature;
  readonly bundle: SigstoreBundle;
  readonly lineage: Lineage;
  /** ISO 8601 in UTC with milliseconds, like every instant in this folder. */
  readonly createdAt: string;
}

/** What an approver decided, on exactly which bytes, policy and evidence. */
export interface ApprovalDecision {
  readonly model: string;
  readonly subjectDigest: Digest;
  readonly policyDigest: Digest;
  readonly evidenceDigest: Digest;
  readonly decision: 'approved' | 'rejected';
  readonly approver: string;
  readonly comment: string;
  readonly decidedAt: string;
  readonly expiresAt: string;
  /**
   * How many distinct approvals the policy asks for. Signed with each approval, so that lowering the stored number
   * cannot let a version in with fewer.
   */
  readonly requiredApprovals: number;
}

export interface Approval extends ApprovalDecision {
  readonly envelope: DsseEnvelope;
}

/** Everything that a gateway needs to load a version, and nothing that it has to believe: all of it is checked. */
export interface VersionDescriptor {
  readonly digest: Digest;
  readonly model: string;
  readonly files: readonly FileEntry[];
  readonly tensors: TensorSignature;
  readonly bundle: SigstoreBundle;
  readonly approvals: readonly DsseEnvelope[];
  readonly requiredApprovals: number;
  readonly policyDigest: Digest;
  readonly evidenceDigest: Digest;
}

/** What may not be served although it is signed and approved. */
export interface Revocations {
  readonly digests: ReadonlySet<Digest>;
  readonly keyIds: ReadonlySet<string>;
}

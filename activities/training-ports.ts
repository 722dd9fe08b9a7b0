/** What the training and evaluation activities need from outside: data, trainers, a model runtime, blobs, keys. */
import type { EvidenceDocument, GateResult } from '../domain/evaluation/evidence-document.ts';
import type { GateSpec, ModelManifest } from '../domain/manifest/model-manifest.ts';
import type { FileEntry, TensorSignature } from '../domain/registry/model-version.ts';
import type { ReleaseParameters } from '../domain/release/release.ts';

export interface DatasetSnapshot {
  /** `sha256:<hex>` of the Parquet file in the blob store. */
  readonly digest: string;
  /** Digest of the raw file that it was made from. */
  readonly source: string;
  readonly rows: number;
  readonly firstEventMs: number;
  readonly lastEventMs: number;
}

/** Rows in time order: `values` is row-major Float32 [n, features], `labels` 0/1 [n]. */
export interface LabelledRows {
  readonly rowNumbers: Float64Array;
  readonly values: Float32Array;
  readonly labels: Uint8Array;
}

/** Held-out rows as the trainer fed them to its model, with what it predicted. */
export interface HeldOutRows extends LabelledRows {
  readonly scores: Float64Array;
}

export interface DatasetStore {
  /** Same manifest, parameters and file bytes: same digest. @throws DATA_INVALID */
  snapshot(manifest: ModelManifest, parameters: ReleaseParameters): Promise<DatasetSnapshot>;
  /** The given rows of a snapshot, in the order asked for. @throws DATA_INVALID when one is missing */
  rows(
    snapshotDigest: string,
    features: readonly string[],
    target: string,
    rowNumbers: Float64Array,
  ): Promise<LabelledRows>;
  heldOut(predictionsDigest: string, features: number): Promise<HeldOutRows>;
}

export interface TrainingJob {
  /** Digest of (trainer code, environment, data, features, target, parameters, seed): the cache key. */
  readonly digest: string;
  readonly trainer: string;
  /** Digests of what the job is made of, for the provenance. */
  readonly codeDigest: string;
  readonly environmentDigest: string;
  readonly dataDigest: string;
  readonly features: readonly string[];
  readonly target: string;
  readonly parameters: ReleaseParameters;
  readonly seed: number;
}

export interface TrainingProgress {
  /** 0–1. */
  readonly fraction: number;
  readonly message: string;
}

export interface Trainers {
  /** @throws INVALID_PARAMETER for a parameter that the trainer does not know */
  describe(manifest: ModelManifest, parameters: ReleaseParameters, dataDigest: string): Promise<TrainingJob>;
  /** Runs to the end, or resumes from the job's last checkpoint; outputs go into the blob store. */
  run(
    job: TrainingJob,
    onProgress: (progress: TrainingProgress) => void,
    signal: AbortSignal,
  ): Promise<readonly FileEntry[]>;
}

export interface TrainingCache {
  find(jobDigest: string): Promise<readonly FileEntry[] | null>;
  save(jobDigest: string, files: readonly FileEntry[]): Promise<void>;
}

export interface ModelRun {
  readonly scores: Float64Array;
  /** Milliseconds of each single-row run that was timed, ascending. */
  readonly singleRowMs: Float64Array;
}

export interface ModelRuntime {
  /** Runs all rows in batches, and the first `timed` rows one by one. @throws MODEL_LOAD_FAILED, INFERENCE_FAILED */
  run(model: Uint8Array, rows: Float32Array, width: number, timed: number): Promise<ModelRun>;
  /** Tensor names, types and shapes as the model declares them. */
  signature(model: Uint8Array): Promise<TensorSignature>;
}

export interface BlobStore {
  put(bytes: Uint8Array): Promise<{ readonly digest: string; readonly size: number }>;
  /** @throws FILE_MISSING, DIGEST_CONFLICT */
  read(digest: string): Promise<Uint8Array>;
}

export interface GateEvaluator {
  /** Missing evidence, a result that is not a bool and a gate that cannot be compiled all count as not passed. */
  evaluate(gates: readonly GateSpec[], evidence: EvidenceDocument): readonly GateResult[];
}

/** `registerVersion`: makes the immutable, signed model version of what a trainer left. */
import { SlipwayError } from '../domain/errors.ts';
import { canonicalBytes } from '../domain/registry/canonical-json.ts';
import type { FileEntry, Lineage, ModelVersion, TensorSignature } from '../domain/registry/model-version.ts';
import { servedTensors, tensorProblem } from '../domain/registry/served-tensors.ts';
import type { ModelManifest } from '../domain/manifest/model-manifest.ts';
import type { Digest } from '../domain/routing/route.ts';
import type { Clock } from '../platform/clock.ts';
import type { VersionStore } from './ports.ts';
import type { BlobStore, DatasetSnapshot, ModelRuntime, TrainingJob } from './training-ports.ts';

export interface RegistrationInput {
  readonly releaseId: string;
  readonly submittedBy: string;
  readonly manifest: ModelManifest;
  readonly dataset: DatasetSnapshot;
  readonly job: TrainingJob;
  readonly files: readonly FileEntry[];
  readonly champion: Digest | null;
}

export interface VersionSigner {
  /** Signs the files and what is stated about them (OpenSSF model signing v1.0). */
  sign(
    version: Pick<ModelVersion, 'model' | 'files' | 'lineage'> & { readonly tensors: TensorSignature },
  ): Promise<{ readonly digest: Digest; readonly bundle: ModelVersion['bundle'] }>;
}

export interface RegistryDependencies {
  readonly versions: VersionStore;
  readonly blobs: BlobStore;
  readonly runtime: ModelRuntime;
  readonly signer: VersionSigner;
  readonly clock: Clock;
}

/** Held-out predictions are evidence, not part of what is served. */
const SERVED = new Set(['model.onnx', 'metrics.json']);

export function createRegistryActivities({ versions, blobs, runtime, signer, clock }: RegistryDependencies) {
  return {
    /** Nothing in a version names a time or a run, so the same training makes the same digest and registers once. */
    async registerVersion(input: RegistrationInput): Promise<{ readonly digest: Digest }> {
      const trained = input.files.filter(({ name }) => SERVED.has(name));
      const onnx = trained.find(({ name }) => name === 'model.onnx')!;
      const signature = await runtime.signature(await blobs.read(onnx.digest));
      requireServed(signature, input.manifest.features.length);
      const lineage = lineageOf(input);
      const files = [
        ...trained,
        await document('tensors.json', signature),
        await document('provenance.json', provenanceOf(input, lineage)),
      ];
      const model = input.manifest.name;
      const { digest, bundle } = await signer.sign({ model, files, tensors: signature, lineage });
      const createdAt = new Date(clock.now()).toISOString();
      const version: ModelVersion = { digest, model, files, signature, bundle, lineage, createdAt };
      await versions.register(version, input.submittedBy);
      return { digest };
    },
  };

  async function document(
    name: string,
    content: TensorSignature | Record<string, unknown>,
  ): Promise<FileEntry> {
    return { name, ...(await blobs.put(canonicalBytes(content))) };
  }
}

export type RegistryActivities = ReturnType<typeof createRegistryActivities>;

/** What gateways refuse is not registered: a first release would else make a champion that nobody can load. */
function requireServed(signature: TensorSignature, features: number): void {
  const problem = tensorProblem(signature, servedTensors(features));
  if (problem !== null)
    throw new SlipwayError('TRAINER_CONTRACT', `the trained model cannot be served: ${problem}`);
}

function lineageOf({ releaseId, dataset, job, champion }: RegistrationInput): Lineage {
  return {
    releaseId,
    trainer: job.trainer,
    data: { source: dataset.source, snapshot: dataset.digest, rows: dataset.rows },
    code: job.codeDigest,
    environment: job.environmentDigest,
    parameters: job.parameters,
    seed: job.seed,
    comparedWith: champion,
  };
}

/** SLSA provenance v1 (`buildDefinition`), without `runDetails`: what differs between two runs must not change the digest. */
function provenanceOf({ manifest, job }: RegistrationInput, lineage: Lineage): Record<string, unknown> {
  const resource = (name: string, digest: string): Record<string, unknown> => ({
    name,
    digest: { sha256: digest.replace('sha256:', '') },
  });
  return {
    predicateType: 'https://slsa.dev/provenance/v1',
    buildDefinition: {
      buildType: 'https://slipway.dev/build/training/v1',
      externalParameters: {
        trainer: job.trainer,
        parameters: job.parameters,
        seed: job.seed,
        features: job.features,
        target: job.target,
      },
      internalParameters: { job: job.digest, model: manifest.name },
      resolvedDependencies: [
        resource('data-source', lineage.data.source),
        resource('data-snapshot', lineage.data.snapshot),
        resource('trainer-code', lineage.code),
        resource('trainer-environment', lineage.environment),
      ],
    },
  };
}

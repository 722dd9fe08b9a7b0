/**
 * Trainers as processes of this machine. A job's folder is named by its digest, so a retry finds the checkpoints of the
 * attempt before it; it is removed once the outputs are in the blob store.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Trainers, TrainingProgress } from '../../activities/training-ports.ts';
import { SlipwayError } from '../../domain/errors.ts';
import type { ModelManifest, ParameterValue } from '../../domain/manifest/model-manifest.ts';
import { canonicalBytes, digestOf, hexOf } from '../../domain/registry/index.ts';
import type { FileEntry } from '../../domain/registry/index.ts';
import { DATA_PARAMETERS } from '../../domain/release/release.ts';
import type { ReleaseParameters } from '../../domain/release/release.ts';
import { OUTPUT_FILES, resolveParameters } from '../../domain/training/index.ts';
import type { BlobStore } from '../../platform/blobs.ts';
import { sha256 } from '../../platform/sha256.ts';
import {
  ensurePythonEnvironment,
  findTrainer,
  launchTrainer,
  trainerCodeDigest,
  trainerCommand,
} from '../../trainers/index.ts';
import type { PythonEnvironment, Trainer } from '../../trainers/index.ts';

export interface TrainersOptions {
  readonly blobs: BlobStore;
  /** Folder of the jobs. */
  readonly folder: string;
  readonly cacheFolder: string;
  readonly python: string;
}

export function createTrainers({ blobs, folder, cacheFolder, python }: TrainersOptions): Trainers {
  const environmentOf = (
    trainer: Trainer,
    onProgress?: (progress: TrainingProgress) => void,
    signal?: AbortSignal,
  ): Promise<PythonEnvironment> =>
    ensurePythonEnvironment({
      cacheFolder,
      python,
      requirementsFile: trainer.requirementsFile,
      ...(onProgress && { onProgress }),
      ...(signal && { signal }),
    });

  return {
    async describe(manifest, parameters, dataDigest) {
      const trainer = findTrainer(manifest.trainer.name);
      const parts = {
        trainer: trainer.descriptor.name,
        codeDigest: trainerCodeDigest(trainer),
        environmentDigest: (await environmentOf(trainer)).digest,
        dataDigest,
        features: manifest.features.map(({ name }) => name),
        target: manifest.target,
        parameters: parametersOf(trainer, manifest, parameters),
        seed: manifest.trainer.seed,
      };
      return { digest: digestOf(canonicalBytes(parts), sha256), ...parts };
    },

    async run(job, onProgress, signal) {
      const trainer = findTrainer(job.trainer);
      const environment = await environmentOf(trainer, onProgress, signal);
      const jobFolder = join(folder, hexOf(job.digest));
      const launched = await launchTrainer({
        ...trainerCommand(trainer, environment.python),
        job: {
          jobId: job.digest,
          data: blobs.pathOf(job.dataDigest),
          features: job.features,
          target: job.target,
          parameters: job.parameters,
          seed: job.seed,
          outputFolder: join(jobFolder, 'output'),
          checkpointFolder: join(jobFolder, 'checkpoints'),
        },
        onEvent: (event) => {
          if (event.event === 'progress') onProgress({ fraction: event.fraction, message: event.message });
        },
        signal,
      });
      const files: FileEntry[] = [];
      for (const name of OUTPUT_FILES)
        files.push({ name, ...(await blobs.put({ path: launched.files[name] })) });
      await rm(jobFolder, { recursive: true, force: true });
      return files;
    },
  };
}

/** The manifest's parameters with the release's on top; those that choose the data are not the trainer's. */
function parametersOf(
  trainer: Trainer,
  manifest: ModelManifest,
  release: ReleaseParameters,
): Readonly<Record<string, ParameterValue>> {
  const own = Object.fromEntries(Object.entries(release).filter(([name]) => !DATA_PARAMETERS.includes(name)));
  const resolved = resolveParameters(trainer.descriptor, { ...manifest.trainer.parameters, ...own });
  if (!resolved.ok) {
    throw new SlipwayError('INVALID_PARAMETER', 'the trainer does not take these parameters as they are', {
      problems: resolved.problems,
    });
  }
  return resolved.values;
}

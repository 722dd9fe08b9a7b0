/** A real trainer on a few real rows, for the tests of this folder. */
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSnapshot } from '../../data/index.ts';
import type { ParameterValue } from '../../domain/manifest/model-manifest.ts';
import type { TrainerEvent, TrainerJob } from '../../domain/training/index.ts';
import { stackPaths } from '../../platform/config.ts';
import { projectRoot } from '../../platform/root.ts';
import { ensurePythonEnvironment, findTrainer, launchTrainer, trainerCommand } from '../../trainers/index.ts';
import type { LaunchedTraining, LaunchOptions } from '../../trainers/index.ts';

export const FEATURES = ['period', 'nswprice', 'nswdemand', 'vicdemand', 'class_lag_1'];
export const TARGET = 'class';
const EXAMPLE = join(projectRoot(), 'examples', 'elec2');

export interface TrainingFixture {
  readonly folder: string;
  readonly python: string;
  /** About 1,600 rows of Elec2. */
  readonly data: string;
  job(name: string, parameters: Readonly<Record<string, ParameterValue>>, seed?: number): TrainerJob;
  launch(
    job: TrainerJob,
    options?: Partial<Pick<LaunchOptions, 'onEvent' | 'signal' | 'graceMs'>>,
  ): Promise<LaunchedTraining>;
  close(): Promise<void>;
}

export async function snapshotExample(output: string, trainBefore?: string): Promise<void> {
  await createSnapshot({
    file: join(EXAMPLE, 'elec2.csv.gz'),
    query: await readFile(join(EXAMPLE, 'features.sql'), 'utf8'),
    features: FEATURES,
    target: TARGET,
    output,
    ...(trainBefore === undefined ? {} : { trainBefore }),
  });
}

export async function openTrainingFixture(): Promise<TrainingFixture> {
  const folder = await mkdtemp(join(tmpdir(), 'slipway-training-'));
  const data = join(folder, 'dataset.parquet');
  await snapshotExample(data, '1996-06-17T00:00:00Z');
  const trainer = findTrainer('gradient-boosting');
  const { python } = await ensurePythonEnvironment({
    cacheFolder: stackPaths().cacheFolder,
    requirementsFile: trainer.requirementsFile,
  });
  return {
    folder,
    python,
    data,
    job: (name, parameters, seed = 7) => ({
      jobId: name,
      data,
      features: FEATURES,
      target: TARGET,
      parameters,
      seed,
      outputFolder: join(folder, name, 'output'),
      checkpointFolder: join(folder, name, 'checkpoints'),
    }),
    launch: (job, options = {}) =>
      launchTrainer({ ...trainerCommand(trainer, python), job, onEvent: () => undefined, ...options }),
    close: () => rm(folder, { recursive: true, force: true }),
  };
}

export const model = (job: TrainerJob): Promise<Buffer> => readFile(join(job.outputFolder, 'model.onnx'));

export const hasCheckpoint = (job: TrainerJob): boolean =>
  existsSync(join(job.checkpointFolder, 'checkpoint.slipway'));

export const isCheckpoint = (event: TrainerEvent, step: number): boolean =>
  event.event === 'checkpoint' && event.step === step;

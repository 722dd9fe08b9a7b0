/** The models that every server in the comparison gets as the same ONNX file, made by the trainer once. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createSnapshot } from '../../../data/index.ts';
import type { ParameterValue } from '../../../domain/manifest/model-manifest.ts';
import { projectRoot } from '../../../platform/root.ts';
import { createRng } from '../../../test/support/rng.ts';
import type { Rng } from '../../../test/support/rng.ts';
import {
  ensurePythonEnvironment,
  findTrainer,
  launchTrainer,
  trainerCodeDigest,
  trainerCommand,
} from '../../../trainers/index.ts';

export type ModelName = 'elec2' | 'wide';

export interface BenchModel {
  readonly name: ModelName;
  readonly title: string;
  readonly file: string;
  readonly digest: string;
  readonly bytes: number;
  readonly features: number;
  /** What the callers send, one row each. */
  readonly rows: readonly Float32Array[];
}

interface Recipe {
  readonly title: string;
  readonly features: readonly string[];
  readonly target: string;
  readonly parameters: Readonly<Record<string, ParameterValue>>;
  /** The CSV that the query reads. */
  source(folder: string): Promise<string>;
  readonly query: () => Promise<string>;
  readonly row: (rng: Rng) => number;
}

const ROWS = 256;
const WIDE_FEATURES = 64;
const WIDE_ROWS = 4000;
const ELEC2 = join(projectRoot(), 'examples', 'elec2');
const columns = Array.from({ length: WIDE_FEATURES }, (_, index) => `f${index}`);

const RECIPES: Readonly<Record<ModelName, Recipe>> = {
  elec2: {
    title: 'Elec2: 13 features, 100 trees of depth 3',
    // As in examples/elec2/model.yaml, which is what the demo's first champion is made from.
    features: [
      'period',
      'nswprice',
      'nswdemand',
      'vicprice',
      'vicdemand',
      'transfer',
      'class_lag_1',
      'class_lag_2',
      'class_lag_48',
      'class_lag_336',
      'nswprice_lag_1',
      'nswprice_lag_48',
      'nswdemand_lag_1',
    ],
    target: 'class',
    parameters: {
      trees: 100,
      max_depth: 3,
      learning_rate: 0.1,
      features: ['period', 'nswprice', 'nswdemand', 'vicprice', 'vicdemand', 'transfer'],
    },
    source: () => Promise.resolve(join(ELEC2, 'elec2.csv.gz')),
    query: () => readFile(join(ELEC2, 'features.sql'), 'utf8'),
    row: (rng) => rng.next(),
  },
  wide: {
    title: 'Wide: 64 features, 200 trees of depth 6',
    features: columns,
    target: 'target',
    parameters: { trees: 200, max_depth: 6, learning_rate: 0.1 },
    source: wideSource,
    query: () =>
      Promise.resolve(
        `SELECT row_number, TIMESTAMP '2026-01-01' + row_number * INTERVAL 1 MINUTE AS event_time, ${columns.join(', ')}, target FROM source ORDER BY row_number`,
      ),
    row: (rng) => 2 * rng.next() - 1,
  },
};

/** Seeded rows whose target depends on pairs of features, so that deep trees have something to find. */
async function wideSource(folder: string): Promise<string> {
  const rng = createRng(64);
  const lines = [[...columns, 'target'].join(',')];
  for (let row = 0; row < WIDE_ROWS; row += 1) {
    const values = columns.map(() => 2 * rng.next() - 1);
    let margin = 0;
    for (let i = 0; i + 1 < WIDE_FEATURES; i += 2) margin += (values[i] ?? 0) * (values[i + 1] ?? 0);
    const target = margin + rng.next() - 0.5 > 0 ? 1 : 0;
    lines.push([...values.map((value) => value.toFixed(6)), target].join(','));
  }
  const file = join(folder, 'wide.csv');
  await writeFile(file, `${lines.join('\n')}\n`);
  return file;
}

/** Kept in the cache folder, under the name of everything that decides its bytes. */
export async function benchModel(name: ModelName, cacheFolder: string): Promise<BenchModel> {
  const recipe = RECIPES[name];
  const trainer = findTrainer('gradient-boosting');
  const query = await recipe.query();
  const identity = JSON.stringify([
    name,
    recipe.features,
    recipe.parameters,
    query,
    trainerCodeDigest(trainer),
  ]);
  const key = createHash('sha256').update(identity).digest('hex').slice(0, 16);
  const file = join(cacheFolder, 'bench-models', `${name}-${key}.onnx`);
  if (!existsSync(file)) await make(recipe, query, cacheFolder, file);
  const bytes = await readFile(file);
  const rng = createRng(2026);
  const rows = Array.from({ length: ROWS }, () =>
    Float32Array.from(recipe.features, () => Number(recipe.row(rng).toFixed(6))),
  );
  return {
    name,
    title: recipe.title,
    file,
    digest: createHash('sha256').update(bytes).digest('hex'),
    bytes: bytes.length,
    features: recipe.features.length,
    rows,
  };
}

async function make(recipe: Recipe, query: string, cacheFolder: string, file: string): Promise<void> {
  await mkdir(join(cacheFolder, 'bench-models'), { recursive: true });
  const folder = await mkdtemp(join(cacheFolder, 'bench-models', 'making-'));
  try {
    const trainer = findTrainer('gradient-boosting');
    const { requirementsFile } = trainer;
    const { python } = await ensurePythonEnvironment({ cacheFolder, requirementsFile });
    const { features, target } = recipe;
    const data = join(folder, 'dataset.parquet');
    await createSnapshot({ file: await recipe.source(folder), query, features, target, output: data });
    const job = {
      jobId: 'bench',
      data,
      features,
      target,
      parameters: recipe.parameters,
      seed: 7,
      outputFolder: join(folder, 'output'),
      checkpointFolder: join(folder, 'checkpoints'),
    };
    await launchTrainer({ ...trainerCommand(trainer, python), job, onEvent: () => undefined });
    await rename(join(job.outputFolder, 'model.onnx'), file);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

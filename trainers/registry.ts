/** The trainers that this installation has: one folder each, described by its `trainer.json`. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { SlipwayError } from '../domain/errors.ts';
import { checkDescriptor, TRAINER_CONTRACT } from '../domain/training/index.ts';
import type { TrainerDescriptor } from '../domain/training/index.ts';
import { projectRoot } from '../platform/root.ts';

export interface Trainer {
  readonly descriptor: TrainerDescriptor;
  readonly folder: string;
  readonly requirementsFile: string;
}

/** @throws SlipwayError TRAINER_CONTRACT for a `trainer.json` that is none. */
export function readTrainers(folder: string = join(projectRoot(), 'trainers')): readonly Trainer[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(folder, entry.name, 'trainer.json')))
    .map((entry) => readTrainer(join(folder, entry.name)))
    .sort((a, b) => (a.descriptor.name < b.descriptor.name ? -1 : 1));
}

/** @throws SlipwayError NOT_FOUND */
export function findTrainer(name: string, trainers: readonly Trainer[] = readTrainers()): Trainer {
  const trainer = trainers.find(({ descriptor }) => descriptor.name === name);
  if (trainer === undefined) {
    const known = trainers.map(({ descriptor }) => descriptor.name).join(', ');
    throw new SlipwayError('NOT_FOUND', `there is no trainer ${name}; known: ${known}`);
  }
  return trainer;
}

/**
 * How a Python trainer is started. Its environment holds only what is listed: secrets of the worker are no business
 * of a training program. Hash seeds and thread counts are fixed because they can change the bytes of a model.
 */
export function trainerCommand(
  trainer: Trainer,
  python: string,
): {
  readonly command: string;
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
} {
  return {
    command: python,
    args: ['-s', '-m', trainer.descriptor.module],
    environment: {
      PYTHONPATH: trainer.folder,
      PYTHONHASHSEED: '0',
      OMP_NUM_THREADS: '1',
      LANG: 'C.UTF-8',
    },
  };
}

/** `sha256:<hex>` of the trainer's own files, by name and content; what Python caches beside them does not count. */
export function trainerCodeDigest(trainer: Trainer): string {
  const hash = createHash('sha256');
  for (const file of codeFiles(trainer.folder).sort()) {
    const digest = createHash('sha256').update(readFileSync(file)).digest('hex');
    hash.update(`${relative(trainer.folder, file).split(sep).join('/')}\0${digest}\n`);
  }
  return `sha256:${hash.digest('hex')}`;
}

function codeFiles(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (entry.name.startsWith('.') || entry.name === '__pycache__') return [];
    const path = join(folder, entry.name);
    return entry.isDirectory() ? codeFiles(path) : [path];
  });
}

function readTrainer(folder: string): Trainer {
  const file = join(folder, 'trainer.json');
  const checked = checkDescriptor(parse(file), TRAINER_CONTRACT);
  if ('problems' in checked) {
    throw new SlipwayError('TRAINER_CONTRACT', 'a trainer.json is wrong; every problem is listed', {
      internal: file,
      problems: checked.problems.map((problem) => ({ file: 'trainer.json', ...problem })),
    });
  }
  const { descriptor } = checked;
  return { descriptor, folder, requirementsFile: join(folder, descriptor.requirements) };
}

function parse(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new SlipwayError('TRAINER_CONTRACT', 'a trainer.json is not readable as JSON', {
      internal: file,
      cause,
    });
  }
}

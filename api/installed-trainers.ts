/** Names of the trainers that this installation has: one folder each, described by its `trainer.json`. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { SlipwayError } from '../domain/errors.ts';
import { projectRoot } from '../platform/root.ts';

/** @throws SlipwayError TRAINER_CONTRACT when a `trainer.json` has no name */
export function installedTrainers(folder: string = join(projectRoot(), 'trainers')): readonly string[] {
  return readdirSync(folder)
    .map((name) => join(folder, name, 'trainer.json'))
    .filter((file) => existsSync(file))
    .map(nameIn)
    .sort();
}

function nameIn(file: string): string {
  const descriptor: unknown = JSON.parse(readFileSync(file, 'utf8'));
  const name = (descriptor as { name?: unknown } | null)?.name;
  if (typeof name !== 'string')
    throw new SlipwayError('TRAINER_CONTRACT', `${file} does not name its trainer`);
  return name;
}

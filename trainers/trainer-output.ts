/** Reads what a trainer left, for `checkTrainerOutput` to judge. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { OUTPUT_FILES } from '../domain/training/index.ts';
import type { TrainerOutput } from '../domain/training/index.ts';

/** `result.json` and `metrics.json` are small; a larger one is not read. */
const MAX_JSON_BYTES = 1_048_576;

export async function readTrainerOutput(folder: string): Promise<TrainerOutput> {
  const files: { -readonly [K in keyof TrainerOutput['files']]: TrainerOutput['files'][K] } = {};
  for (const name of OUTPUT_FILES) {
    const path = join(folder, name);
    const size = await sizeOf(path);
    if (size !== undefined) files[name] = { sha256: await sha256(path), size };
  }
  return {
    result: await readJson(join(folder, 'result.json')),
    metrics: await readJson(join(folder, 'metrics.json')),
    files,
  };
}

/** undefined for what is not there or no plain file: a link could show something that changes later. */
async function sizeOf(path: string): Promise<number | undefined> {
  try {
    const status = await lstat(path);
    return status.isFile() ? status.size : undefined;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

async function readJson(path: string): Promise<unknown> {
  const size = await sizeOf(path);
  if (size === undefined || size > MAX_JSON_BYTES) return undefined;
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

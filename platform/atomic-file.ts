/**
 * Files that are either whole or absent, also after a crash or a power cut: written to a temporary file in the same
 * folder, flushed, renamed, and the folder flushed.
 */
import { constants } from 'node:fs';
import { link, mkdir, open, rename, rm, writeFile } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';

export type Content = Uint8Array | string | AsyncIterable<Uint8Array>;

/** Name prefix of files that are being written; what a crash leaves of them is never read. */
export const TEMPORARY_PREFIX = '.tmp-';

/** Replaces `path`. */
export async function writeFileAtomically(path: string, content: Content, mode = 0o644): Promise<void> {
  const temporary = await writeTemporary(dirname(path), content, mode);
  await moveIntoPlace(temporary, path);
}

/**
 * Creates `path` unless it is there, whoever else tries at the same moment.
 * @returns false when another was first; its file is untouched.
 */
export async function createFileExclusively(path: string, content: Content, mode: number): Promise<boolean> {
  const temporary = await writeTemporary(dirname(path), content, mode);
  try {
    // A rename would replace the winner's file; a link fails when the name is taken, and the file is whole already.
    await link(temporary, path);
    await flushFolder(dirname(path));
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(temporary, { force: true });
  }
}

/** @returns the path of a flushed temporary file in `folder`; nothing is left behind when writing fails. */
export async function writeTemporary(folder: string, content: Content, mode: number): Promise<string> {
  const temporary = join(folder, `${TEMPORARY_PREFIX}${randomUUID()}`);
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const handle = await open(temporary, flags, mode);
  try {
    await writeFile(handle, content);
    // The process's umask may have taken bits away from a mode that is part of the promise.
    await handle.chmod(mode);
    await handle.sync();
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
  return temporary;
}

export async function moveIntoPlace(temporary: string, path: string): Promise<void> {
  try {
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await flushFolder(dirname(path));
}

/** Creates `folder` and what is missing above it, flushed, so that a file in it cannot be lost with its folder. */
export async function makeFolder(folder: string, mode = 0o755): Promise<void> {
  const first = await mkdir(folder, { recursive: true, mode });
  if (first === undefined) return;
  for (let made = folder; ; made = dirname(made)) {
    await flushFolder(dirname(made));
    if (made === first || made === dirname(made)) return;
  }
}

export async function flushFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The system's name of an error (`ENOENT` …), or undefined. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

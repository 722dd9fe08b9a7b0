/** Reads regular files only: never through a symbolic link, never from a pipe or device that would block the reader. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { SlipwayError } from '../domain/errors.ts';
import { errorCode } from './atomic-file.ts';

/**
 * @throws SlipwayError `SYMLINK_REFUSED`, or `FILE_MISSING` when there is no regular file of this name.
 *   `label` is what the error calls the file: machine paths are not for callers.
 */
export async function openRegularFile(path: string, label: string): Promise<FileHandle> {
  let handle: FileHandle;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ELOOP') {
      throw new SlipwayError('SYMLINK_REFUSED', `${label} is a symbolic link; put the file itself there`, {
        internal: path,
        cause: error,
      });
    }
    // ENXIO: a socket, or a pipe that nobody writes to.
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENXIO') throw missing(path, label, error);
    throw error;
  }
  try {
    if (!(await handle.stat()).isFile()) throw missing(path, label);
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** The bytes of the file, see `openRegularFile`. */
export async function readRegularFile(path: string, label: string): Promise<Uint8Array> {
  const handle = await openRegularFile(path, label);
  try {
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

function missing(path: string, label: string, cause?: unknown): SlipwayError {
  return new SlipwayError('FILE_MISSING', `there is no regular file ${label}`, { internal: path, cause });
}

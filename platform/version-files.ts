/** Where the files of a version are read from when it is verified: a folder, or the blob store. */
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../domain/routing/route.ts';
import type { Problem } from '../domain/errors.ts';
import { SlipwayError } from '../domain/errors.ts';
import type { FileEntry } from '../domain/registry/index.ts';
import { compareFileNames } from '../domain/registry/index.ts';
import { errorCode } from './atomic-file.ts';
import { readRegularFile } from './regular-file.ts';

export type FileProblemCode = 'FILE_DIGEST_MISMATCH' | 'FILE_MISSING' | 'FILE_UNSIGNED' | 'SYMLINK_REFUSED';

export interface FileProblem extends Problem {
  readonly code: FileProblemCode;
  readonly file: string;
}

/** The files as they are found, before anything about them is believed. */
export interface VersionFiles {
  readonly names: readonly string[];
  /** What was found that cannot be part of a version, e.g. symbolic links. */
  readonly problems: readonly FileProblem[];
  /** @throws SlipwayError `FILE_MISSING`, `SYMLINK_REFUSED` or `DIGEST_CONFLICT`. */
  read(name: string): Promise<Uint8Array>;
}

/** The files below `folder`. Nothing is read yet, and no symbolic link is followed. */
export async function readFolder(folder: string): Promise<VersionFiles> {
  const names: string[] = [];
  const problems: FileProblem[] = [];
  if ((await statFolder(folder)).isSymbolicLink()) {
    throw new SlipwayError(
      'SYMLINK_REFUSED',
      'the folder of the version is a symbolic link; name the folder itself',
      {
        internal: folder,
      },
    );
  }
  const walk = async (prefix: string): Promise<void> => {
    for (const entry of await readdir(join(folder, prefix), { withFileTypes: true })) {
      const name = `${prefix}${entry.name}`;
      if (entry.isSymbolicLink()) {
        problems.push({ code: 'SYMLINK_REFUSED', file: name, path: '', reason: 'it is a symbolic link' });
      } else if (entry.isDirectory()) {
        await walk(`${name}/`);
      } else if (entry.isFile()) {
        names.push(name);
      } else {
        problems.push({ code: 'FILE_UNSIGNED', file: name, path: '', reason: 'it is not a regular file' });
      }
    }
  };
  await walk('');
  return {
    names: names.sort(compareFileNames),
    problems: problems.sort((a, b) => compareFileNames(a.file, b.file)),
    read: (name) => readRegularFile(join(folder, name), name),
  };
}

/** Files of a version as the registry lists them, read by digest. The list is only a claim until it is verified. */
export function listedFiles(
  files: readonly Pick<FileEntry, 'name' | 'digest'>[],
  read: (digest: Digest) => Promise<Uint8Array>,
): VersionFiles {
  const byName = new Map(files.map(({ name, digest }) => [name, digest]));
  return {
    names: [...byName.keys()].sort(compareFileNames),
    problems: [],
    read: (name) => {
      const digest = byName.get(name);
      if (digest === undefined) throw new SlipwayError('FILE_MISSING', `${name} is not listed`);
      return read(digest);
    },
  };
}

async function statFolder(folder: string): ReturnType<typeof lstat> {
  try {
    return await lstat(folder);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    throw new SlipwayError('FILE_MISSING', 'the folder of the version does not exist', { internal: folder });
  }
}

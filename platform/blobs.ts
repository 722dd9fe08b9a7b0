/**
 * Content-addressed storage on disk: `<root>/sha256/<first 2 hex>/<hex>`. A blob is written once, whole and flushed
 * before it has its name, is never changed, and is hashed each time it is read. Putting the same bytes again is a
 * no-op, or heals a blob that was damaged.
 */
import { createHash } from 'node:crypto';
import { lstat, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Digest } from '../domain/routing/route.ts';
import { SlipwayError } from '../domain/errors.ts';
import type { FileEntry } from '../domain/registry/index.ts';
import { digestOf, fileNameProblem, hexOf } from '../domain/registry/index.ts';
import {
  errorCode,
  flushFolder,
  makeFolder,
  moveIntoPlace,
  writeFileAtomically,
  writeTemporary,
} from './atomic-file.ts';
import { openRegularFile, readRegularFile } from './regular-file.ts';
import { sha256 } from './sha256.ts';

export type BlobSource = Uint8Array | AsyncIterable<Uint8Array> | { readonly path: string };

export interface StoredBlob {
  readonly digest: Digest;
  readonly size: number;
}

export interface BlobStore {
  /** Idempotent, also between processes. A path is read without following a symbolic link. */
  put(source: BlobSource): Promise<StoredBlob>;
  /** @throws SlipwayError `DIGEST_CONFLICT` when the stored bytes have changed, `FILE_MISSING` when there are none. */
  read(digest: Digest): Promise<Uint8Array>;
  /** Whether there is a blob of this name; only `read` says that it is whole. */
  has(digest: Digest): Promise<boolean>;
  pathOf(digest: Digest): string;
  /**
   * Writes the files of a version into `folder`, each checked, as copies: a link would let whoever writes into the
   * folder change the store.
   */
  materialise(files: readonly Pick<FileEntry, 'name' | 'digest'>[], folder: string): Promise<void>;
}

export function createBlobStore(root: string): BlobStore {
  const incoming = join(root, 'incoming');

  const pathOf = (digest: Digest): string => {
    const hex = hexOf(digest);
    return join(root, 'sha256', hex.slice(0, 2), hex);
  };

  const read = async (digest: Digest): Promise<Uint8Array> => {
    const bytes = await readRegularFile(pathOf(digest), `blob ${digest}`);
    const actual = digestOf(bytes, sha256);
    if (actual !== digest) {
      throw new SlipwayError(
        'DIGEST_CONFLICT',
        `the blob ${digest} is damaged: its bytes have the digest ${actual}`,
        {
          internal: pathOf(digest),
        },
      );
    }
    return bytes;
  };

  const put = async (source: BlobSource): Promise<StoredBlob> => {
    await makeFolder(incoming);
    const hash = createHash('sha256');
    let size = 0;
    const temporary = await writeTemporary(
      incoming,
      tap(source, (chunk) => {
        hash.update(chunk);
        size += chunk.length;
      }),
      0o444,
    );
    const digest: Digest = `sha256:${hash.digest('hex')}`;
    const path = pathOf(digest);
    if (await isWhole(path, digest)) {
      await rm(temporary, { force: true });
    } else {
      await makeFolder(dirname(path));
      await moveIntoPlace(temporary, path);
    }
    // Another writer may have made the name or its folder a moment ago and not flushed it yet.
    await flushFolder(dirname(path));
    await flushFolder(join(root, 'sha256'));
    return { digest, size };
  };

  const has = async (digest: Digest): Promise<boolean> => {
    try {
      return (await lstat(pathOf(digest))).isFile();
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return false;
      throw error;
    }
  };

  const materialise: BlobStore['materialise'] = async (files, folder) => {
    for (const { name } of files) {
      const problem = fileNameProblem(name);
      if (problem !== undefined) {
        throw new SlipwayError(
          'INVALID_REQUEST',
          `the file ${JSON.stringify(name)} cannot be written: ${problem}`,
        );
      }
    }
    for (const { name, digest } of files) {
      const path = join(folder, name);
      await makeFolder(dirname(path));
      await writeFileAtomically(path, await read(digest));
    }
  };

  return { put, read, has, pathOf, materialise };
}

async function* tap(source: BlobSource, see: (chunk: Uint8Array) => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunksOf(source)) {
    see(chunk);
    yield chunk;
  }
}

async function* chunksOf(source: BlobSource): AsyncGenerator<Uint8Array> {
  if (source instanceof Uint8Array) {
    yield source;
  } else if ('path' in source) {
    const handle = await openRegularFile(source.path, `file ${source.path}`);
    try {
      yield* handle.createReadStream({
        autoClose: false,
        highWaterMark: 1 << 20,
      }) as AsyncIterable<Uint8Array>;
    } finally {
      await handle.close();
    }
  } else {
    yield* source;
  }
}

async function isWhole(path: string, digest: Digest): Promise<boolean> {
  try {
    const hash = createHash('sha256');
    for await (const chunk of chunksOf({ path })) hash.update(chunk);
    return `sha256:${hash.digest('hex')}` === digest;
  } catch (error) {
    // A link or a folder in the blob's place is not the blob: the rename replaces the one and fails on the other.
    if (
      error instanceof SlipwayError &&
      (error.code === 'FILE_MISSING' || error.code === 'SYMLINK_REFUSED')
    ) {
      return false;
    }
    throw error;
  }
}

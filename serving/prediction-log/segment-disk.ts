/** The file operations that the log needs, behind a port so that tests can have a disk that is slow, full or broken. */
import { open, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { flushFolder, makeFolder } from '../../platform/atomic-file.ts';

export interface SegmentHandle {
  /** Writes all of it at `position`. */
  write(parts: readonly Uint8Array[], position: number): Promise<void>;
  /** What was written survives a power cut from then on. */
  sync(): Promise<void>;
  truncate(bytes: number): Promise<void>;
  close(): Promise<void>;
}

export interface SegmentDisk {
  /** A new file, with the folders above it. */
  create(path: string): Promise<SegmentHandle>;
  remove(path: string): Promise<void>;
}

export const realDisk: SegmentDisk = {
  async create(path) {
    const folder = dirname(path);
    await makeFolder(folder, 0o700);
    const handle = await open(path, 'wx', 0o600);
    await flushFolder(folder);
    return {
      async write(parts, position) {
        let at = position;
        let rest = parts;
        while (rest.length > 0) {
          const { bytesWritten } = await handle.writev(rest, at);
          at += bytesWritten;
          rest = after(rest, bytesWritten);
        }
      },
      sync: () => handle.datasync(),
      truncate: (bytes) => handle.truncate(bytes),
      close: () => handle.close(),
    };
  },
  remove: (path) => unlink(path),
};

/** The parts without their first `bytes`: a write may end early. */
function after(parts: readonly Uint8Array[], bytes: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skip = bytes;
  for (const part of parts) {
    if (skip < part.length) rest.push(part.subarray(skip));
    skip = Math.max(0, skip - part.length);
  }
  return rest;
}

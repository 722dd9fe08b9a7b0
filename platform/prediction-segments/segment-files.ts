/** Names of segments: `<folder of predictions>/<endpoint>/<gateway>-<boot>-<number>.slog`. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '../atomic-file.ts';

export interface SegmentFile {
  readonly path: string;
  /** As it stands in the file's name: shortened and escaped. */
  readonly gateway: string;
  readonly bytes: number;
  /** When it was written last. */
  readonly writtenAtMs: number;
}

const NAME = /^(?<gateway>.+)-(?<boot>[0-9a-z]{1,32})-(?<number>\d{6,})\.slog$/;
/** File systems end at 255 bytes. */
const MAX_NAME = 120;

/** Any text as part of a file's name: no separator, not hidden, not `..`. */
function nameOf(text: string): string {
  return encodeURIComponent(text).replaceAll('*', '%2A').replace(/^\./, '%2E').slice(0, MAX_NAME) || '%';
}

export const endpointFolderName = nameOf;

/** The boot is shortened: it only has to tell the starts of one gateway apart. */
export function segmentFileName(gateway: string, boot: string, number: number): string {
  const start =
    boot
      .toLowerCase()
      .replaceAll(/[^0-9a-z]/g, '')
      .slice(0, 32) || '0';
  return `${nameOf(gateway)}-${start}-${String(number).padStart(6, '0')}.slog`;
}

/** @returns null for a file that is no segment. */
export function parseSegmentFileName(
  name: string,
): { readonly gateway: string; readonly order: string } | null {
  const groups = NAME.exec(name)?.groups;
  if (groups === undefined) return null;
  const { gateway = '', boot = '', number = '' } = groups;
  return { gateway, order: `${gateway}\n${boot}\n${number.padStart(16, '0')}` };
}

/** The segments in `folder`, those of one start of a gateway together and in the order they were written in. */
export async function listSegmentFiles(folder: string): Promise<SegmentFile[]> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
  const found: (SegmentFile & { readonly order: string })[] = [];
  for (const name of names) {
    const parsed = parseSegmentFileName(name);
    if (parsed === null) continue;
    const path = join(folder, name);
    try {
      const { size, mtimeMs } = await stat(path);
      found.push({ path, ...parsed, bytes: size, writtenAtMs: mtimeMs });
    } catch (error) {
      // The gateway may have deleted it just now, as too old.
      if (errorCode(error) !== 'ENOENT') throw error;
    }
  }
  return found.sort((a, b) => (a.order < b.order ? -1 : 1));
}

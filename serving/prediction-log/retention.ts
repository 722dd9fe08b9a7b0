/**
 * What is kept: the segments of this gateway up to a size, over all its endpoints; the oldest go first, whole. What
 * other gateways have left in the same home is not touched.
 */
import { readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '../../platform/atomic-file.ts';
import {
  listSegmentFiles,
  parseSegmentFileName,
  segmentFileName,
} from '../../platform/prediction-segments/index.ts';

export interface RetentionOptions {
  readonly folder: string;
  readonly gatewayId: string;
  readonly maxBytes: number;
  /** Files that are being written. */
  readonly open: ReadonlySet<string>;
}

/** @returns the segments that were deleted */
export async function deleteOldSegments({
  folder,
  gatewayId,
  maxBytes,
  open,
}: RetentionOptions): Promise<string[]> {
  const own = parseSegmentFileName(segmentFileName(gatewayId, '0', 0))?.gateway;
  const endpoints = (await readdir(folder, { withFileTypes: true })).filter((entry) => entry.isDirectory());
  const lists = await Promise.all(endpoints.map(({ name }) => listSegmentFiles(join(folder, name))));
  const files = lists.flat().filter(({ gateway }) => gateway === own);
  let bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const deleted: string[] = [];
  for (const file of files.sort((a, b) => a.writtenAtMs - b.writtenAtMs)) {
    if (bytes <= maxBytes) break;
    if (open.has(file.path)) continue;
    try {
      await unlink(file.path);
    } catch (error) {
      // Another process of this gateway was quicker.
      if (errorCode(error) !== 'ENOENT') throw error;
    }
    bytes -= file.bytes;
    deleted.push(file.path);
  }
  return deleted;
}

/** What is in the prediction log: its segments, each with its time range and rows. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '../platform/atomic-file.ts';
import { listSegmentFiles, newReadReport, readSegments } from '../platform/prediction-segments/index.ts';

export interface ListedSegment {
  readonly endpoint: string;
  readonly file: string;
  readonly bytes: number;
  readonly rows: number;
  /** Rows that the gateway dropped, as the blocks say. */
  readonly dropped: number;
  /** Null without a row. */
  readonly firstAtMs: number | null;
  readonly lastAtMs: number | null;
  /** Bytes after the last whole block. */
  readonly ignoredBytes: number;
}

/** The segments of all endpoints below `folder`. @throws SlipwayError PREDICTION_LOG_INVALID */
export async function listPredictions(folder: string): Promise<ListedSegment[]> {
  const listed: ListedSegment[] = [];
  for (const name of await foldersIn(folder)) {
    const files = await listSegmentFiles(join(folder, name));
    const report = newReadReport();
    const found = new Map(
      files.map(({ path, bytes }) => [
        path,
        { rows: 0, dropped: 0, first: Infinity, last: -Infinity, bytes, endpoint: name },
      ]),
    );
    for await (const block of readSegments([...found.keys()], report)) {
      const entry = found.get(block.file);
      if (entry === undefined) continue;
      entry.endpoint = block.schema.endpoint;
      entry.rows += block.rows;
      entry.dropped += block.dropped;
      if (block.rows === 0) continue;
      entry.first = Math.min(entry.first, block.firstAtMs);
      entry.last = Math.max(entry.last, block.lastAtMs);
    }
    for (const [file, { rows, dropped, first, last, bytes, endpoint }] of found) {
      listed.push({
        endpoint,
        file,
        bytes,
        rows,
        dropped,
        firstAtMs: rows === 0 ? null : first,
        lastAtMs: rows === 0 ? null : last,
        ignoredBytes: report.torn.find((torn) => torn.file === file)?.ignoredBytes ?? 0,
      });
    }
  }
  return listed;
}

async function foldersIn(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
      .sort();
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

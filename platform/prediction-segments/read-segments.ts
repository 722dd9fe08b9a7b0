/** Segments, block by block. */
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { errorCode } from '../atomic-file.ts';
import { BLOCK_HEADER_BYTES, align, columnsEnd, decodeBlockHeader, isWhole } from './block.ts';
import type { BlockHeader } from './block.ts';
import { SEGMENT_PREFIX_BYTES, WIDTHS, decodePrefix, decodeSchema } from './segment-schema.ts';
import type { SegmentSchema } from './segment-schema.ts';

export interface SegmentBlock {
  readonly file: string;
  readonly schema: SegmentSchema;
  readonly rows: number;
  readonly firstAtMs: number;
  readonly lastAtMs: number;
  /** Rows that were lost since the block before. */
  readonly dropped: number;
  /** The bytes of each column. */
  readonly columns: readonly Buffer[];
  readonly dictionaries: Readonly<Record<string, readonly string[]>>;
}

/** What was met on the way. */
export interface ReadReport {
  segments: number;
  blocks: number;
  rows: number;
  dropped: number;
  /** Blocks that a gateway wrote twice, because it could not tell whether the first try had reached the disk. */
  repeatedBlocks: number;
  /** Files that the gateway deleted as too old after they were listed. */
  deleted: number;
  /** What follows the last whole block of a file: a crash, or a write that is under way. */
  readonly torn: { readonly file: string; readonly ignoredBytes: number }[];
}

export function newReadReport(): ReadReport {
  return { segments: 0, blocks: 0, rows: 0, dropped: 0, repeatedBlocks: 0, deleted: 0, torn: [] };
}

/**
 * The blocks of `files` in their order, which has to be the one they were written in (`listSegmentFiles`).
 * @throws SlipwayError PREDICTION_LOG_INVALID for what is no segment, or one of another version of the format.
 */
export async function* readSegments(
  files: readonly string[],
  report: ReadReport = newReadReport(),
): AsyncGenerator<SegmentBlock> {
  const lastNumbers = new Map<string, number>();
  for (const file of files) {
    const handle = await openUnlessDeleted(file, report);
    if (handle === null) continue;
    try {
      yield* readSegment(handle, file, report, lastNumbers);
    } finally {
      await handle.close();
    }
  }
}

async function openUnlessDeleted(file: string, report: ReadReport): Promise<FileHandle | null> {
  try {
    return await open(file, 'r');
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    report.deleted += 1;
    return null;
  }
}

async function* readSegment(
  handle: FileHandle,
  file: string,
  report: ReadReport,
  lastNumbers: Map<string, number>,
): AsyncGenerator<SegmentBlock> {
  const { size } = await handle.stat();
  const prefix = decodePrefix(await readAt(handle, 0, SEGMENT_PREFIX_BYTES), basename(file));
  if (prefix === null || prefix.headerBytes > size) {
    report.torn.push({ file, ignoredBytes: size });
    return;
  }
  const json = await readAt(handle, SEGMENT_PREFIX_BYTES, prefix.jsonBytes);
  const schema = decodeSchema(json, prefix.crc, basename(file));
  const source = JSON.stringify([schema.gateway, schema.boot, schema.endpoint]);
  report.segments += 1;
  let position = prefix.headerBytes;
  while (position < size) {
    const found = await readBlock(handle, schema, position);
    if (found === null) {
      report.torn.push({ file, ignoredBytes: size - position });
      return;
    }
    const { header, bytes } = found;
    position += header.bytes;
    if (header.number <= (lastNumbers.get(source) ?? -1)) {
      report.repeatedBlocks += 1;
      continue;
    }
    lastNumbers.set(source, header.number);
    report.blocks += 1;
    report.rows += header.rows;
    report.dropped += header.dropped;
    yield split(file, schema, header, bytes);
  }
}

async function readBlock(
  handle: FileHandle,
  { columns }: SegmentSchema,
  position: number,
): Promise<{ readonly header: BlockHeader; readonly bytes: Buffer } | null> {
  const header = decodeBlockHeader(await readAt(handle, position, BLOCK_HEADER_BYTES), columns);
  if (header === null) return null;
  const bytes = await readAt(handle, position, header.bytes);
  return bytes.length === header.bytes && isWhole(bytes) ? { header, bytes } : null;
}

function split(file: string, schema: SegmentSchema, header: BlockHeader, bytes: Buffer): SegmentBlock {
  const { rows, firstAtMs, lastAtMs, dropped, dictionaryBytes } = header;
  let offset = BLOCK_HEADER_BYTES;
  const columns = schema.columns.map(({ type }) => {
    const length = rows * WIDTHS[type];
    const column = bytes.subarray(offset, offset + length);
    offset += align(length);
    return column;
  });
  const end = columnsEnd(schema.columns, rows);
  const dictionaries = JSON.parse(
    bytes.toString('utf8', end, end + dictionaryBytes),
  ) as SegmentBlock['dictionaries'];
  return { file, schema, rows, firstAtMs, lastAtMs, dropped, columns, dictionaries };
}

/** Fewer bytes only at the end of the file. */
async function readAt(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(bytes, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}

/**
 * A block: header, columns one after the other, dictionaries. Each part begins at a multiple of eight, so that typed
 * arrays can be laid over the bytes.
 */
import { crc32 } from 'node:zlib';
import { WIDTHS } from './segment-schema.ts';
import type { SegmentColumn } from './segment-schema.ts';

export const BLOCK_HEADER_BYTES = 48;
const MAGIC = 0x314b_4c42;
/** No writer makes one a tenth as long; what claims more is no block. */
const MAX_BLOCK_BYTES = 16 * 1024 * 1024;

export interface BlockHeader {
  readonly bytes: number;
  readonly rows: number;
  readonly dictionaryBytes: number;
  readonly firstAtMs: number;
  readonly lastAtMs: number;
  /** Counts the blocks of an endpoint in one start of the gateway, over all segments, from 0. */
  readonly number: number;
  /** Rows of the endpoint that were lost since the block before. */
  readonly dropped: number;
}

export const align = (bytes: number): number => Math.ceil(bytes / 8) * 8;

/** Where the dictionaries of a block with so many rows begin. */
export function columnsEnd(columns: readonly SegmentColumn[], rows: number): number {
  let end = BLOCK_HEADER_BYTES;
  for (const { type } of columns) end += align(rows * WIDTHS[type]);
  return end;
}

/**
 * Completes a block whose columns are in place: the dictionaries behind them, the header before them.
 * @returns its length
 */
export function sealBlock(
  block: Buffer,
  columnsEndAt: number,
  dictionaries: Readonly<Record<string, readonly string[]>>,
  header: Omit<BlockHeader, 'bytes' | 'dictionaryBytes'>,
): number {
  const dictionaryBytes = block.write(JSON.stringify(dictionaries), columnsEndAt, 'utf8');
  const bytes = align(columnsEndAt + dictionaryBytes);
  block.fill(0, columnsEndAt + dictionaryBytes, bytes);
  block.writeUInt32LE(MAGIC, 0);
  block.writeUInt32LE(bytes, 4);
  block.writeUInt32LE(header.rows, 8);
  block.writeUInt32LE(dictionaryBytes, 12);
  block.writeDoubleLE(header.firstAtMs, 16);
  block.writeDoubleLE(header.lastAtMs, 24);
  block.writeUInt32LE(header.number, 32);
  block.writeUInt32LE(header.dropped, 36);
  block.writeUInt32LE(0, 40);
  block.writeUInt32LE(checksum(block, bytes), 44);
  return bytes;
}

/** @returns null for what is no header of a block of these columns. */
export function decodeBlockHeader(header: Buffer, columns: readonly SegmentColumn[]): BlockHeader | null {
  if (header.length < BLOCK_HEADER_BYTES || header.readUInt32LE(0) !== MAGIC) return null;
  const bytes = header.readUInt32LE(4);
  const rows = header.readUInt32LE(8);
  const dictionaryBytes = header.readUInt32LE(12);
  if (bytes > MAX_BLOCK_BYTES || align(columnsEnd(columns, rows) + dictionaryBytes) !== bytes) return null;
  return {
    bytes,
    rows,
    dictionaryBytes,
    firstAtMs: header.readDoubleLE(16),
    lastAtMs: header.readDoubleLE(24),
    number: header.readUInt32LE(32),
    dropped: header.readUInt32LE(36),
  };
}

export function isWhole(block: Buffer): boolean {
  return checksum(block, block.length) === block.readUInt32LE(44);
}

function checksum(block: Buffer, bytes: number): number {
  return crc32(block.subarray(BLOCK_HEADER_BYTES, bytes), crc32(block.subarray(0, 44)));
}

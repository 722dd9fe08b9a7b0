/** What a segment's header says: whose rows these are, and which columns each of its blocks has, in order. */
import { crc32 } from 'node:zlib';
import { SlipwayError } from '../../domain/errors.ts';

/** Bytes of one value. `id`: a UUID, or an index into the dictionary; `dict8`: an index; `enum8`: an index into `values`. */
export const WIDTHS = { id: 16, u16: 2, u32: 4, f32: 4, f64: 8, i64: 8, dict8: 1, enum8: 1 } as const;

export type ColumnType = keyof typeof WIDTHS;

/** What stands for "no value" in a nullable column of each type; NaN for floats. */
export const NONE = { u16: 0xffff, u32: 0xffff_ffff, i64: -(2n ** 63n), dict8: 0xff, enum8: 0xff } as const;

export interface SegmentColumn {
  readonly name: string;
  readonly type: ColumnType;
  readonly role: 'fixed' | 'feature' | 'status';
  readonly nullable: boolean;
  /** Of `enum8`: the text of each index. */
  readonly values?: readonly string[];
}

export interface SegmentSchema {
  readonly endpoint: string;
  readonly gateway: string;
  /** A new value for every start of the gateway. */
  readonly boot: string;
  /** Counts the segments of this start, from 0. */
  readonly segment: number;
  readonly createdAtMs: number;
  readonly columns: readonly SegmentColumn[];
}

const MAGIC = 'SLIPWLOG';
const FORMAT = 1;
export const SEGMENT_PREFIX_BYTES = 24;
/** 1,024 features with their statuses take about a fifth of it. */
const MAX_SCHEMA_BYTES = 1024 * 1024;

export function encodeSegmentHeader(schema: SegmentSchema): Buffer {
  const json = Buffer.from(JSON.stringify(schema), 'utf8');
  const header = Buffer.alloc(SEGMENT_PREFIX_BYTES + Math.ceil(json.length / 8) * 8);
  header.write(MAGIC, 0, 'latin1');
  header.writeUInt16LE(FORMAT, 8);
  header.writeUInt32LE(json.length, 12);
  header.writeUInt32LE(crc32(json), 16);
  header.writeUInt32LE(crc32(header.subarray(0, 20)), 20);
  json.copy(header, SEGMENT_PREFIX_BYTES);
  return header;
}

/**
 * @returns where the schema ends, and its checksum; null when the file ends within the prefix.
 * @throws SlipwayError PREDICTION_LOG_INVALID for another file, or another version of the format.
 */
export function decodePrefix(
  prefix: Buffer,
  file: string,
): { readonly jsonBytes: number; readonly crc: number; readonly headerBytes: number } | null {
  const magic = prefix.toString('latin1', 0, MAGIC.length);
  if (!MAGIC.startsWith(magic)) throw invalid(`${file} is no prediction log segment`);
  if (prefix.length < SEGMENT_PREFIX_BYTES) return null;
  const format = prefix.readUInt16LE(8);
  if (format !== FORMAT) {
    throw invalid(`${file} has format ${format}, this version of Slipway reads format ${FORMAT}`);
  }
  if (crc32(prefix.subarray(0, 20)) !== prefix.readUInt32LE(20))
    throw invalid(`${file} has a damaged header`);
  const jsonBytes = prefix.readUInt32LE(12);
  if (jsonBytes > MAX_SCHEMA_BYTES) throw invalid(`${file} has a header that is too long`);
  return {
    jsonBytes,
    crc: prefix.readUInt32LE(16),
    headerBytes: SEGMENT_PREFIX_BYTES + Math.ceil(jsonBytes / 8) * 8,
  };
}

/** @throws SlipwayError PREDICTION_LOG_INVALID */
export function decodeSchema(json: Buffer, crc: number, file: string): SegmentSchema {
  if (crc32(json) !== crc) throw invalid(`${file} has a damaged header`);
  // Written by this format's own writer and whole by its checksum: its shape needs no further check but the types.
  const schema = JSON.parse(json.toString('utf8')) as SegmentSchema;
  for (const { name, type } of schema.columns) {
    if (!Object.hasOwn(WIDTHS, type)) throw invalid(`${file}: column ${name} has the unknown type ${type}`);
  }
  return schema;
}

function invalid(message: string): SlipwayError {
  return new SlipwayError('PREDICTION_LOG_INVALID', message);
}

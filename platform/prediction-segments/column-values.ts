/** The values of one column of a block. */
import { NONE } from './segment-schema.ts';
import type { SegmentColumn } from './segment-schema.ts';
import type { SegmentBlock } from './read-segments.ts';

export type ColumnValue = string | number | bigint | null;

/** Null stands for "no value"; an `id` is the text that the caller was given, without the number of its row. */
export function valuesOf(
  block: SegmentBlock,
  index: number,
  from = 0,
  to: number = block.rows,
): ColumnValue[] {
  const column = block.schema.columns[index] as SegmentColumn;
  const read = reader(column, block.columns[index] as Buffer, block.dictionaries[column.name] ?? []);
  const values = Array.from<ColumnValue>({ length: to - from });
  for (let row = from; row < to; row += 1) values[row - from] = read(row);
  return values;
}

function reader(
  { type, nullable, values = [] }: SegmentColumn,
  bytes: Buffer,
  dictionary: readonly string[],
): (row: number) => ColumnValue {
  const unless = <T extends number | bigint>(none: T, value: T): T | null =>
    nullable && value === none ? null : value;
  const float = (value: number): number | null => (nullable && Number.isNaN(value) ? null : value);
  switch (type) {
    case 'id':
      return (row) => idText(bytes, row * 16, dictionary);
    case 'u16':
      return (row) => unless(NONE.u16, bytes.readUInt16LE(row * 2));
    case 'u32':
      return (row) => unless(NONE.u32, bytes.readUInt32LE(row * 4));
    case 'f32':
      return (row) => float(bytes.readFloatLE(row * 4));
    case 'f64':
      return (row) => float(bytes.readDoubleLE(row * 8));
    case 'i64':
      return (row) => unless(NONE.i64, bytes.readBigInt64LE(row * 8));
    case 'dict8':
      return (row) => dictionary[bytes[row] as number] ?? null;
    case 'enum8':
      return (row) => values[bytes[row] as number] ?? null;
  }
}

/** No UUID of any version begins with twelve zero bytes, so these mean: look into the dictionary. */
function idText(bytes: Buffer, at: number, dictionary: readonly string[]): string | null {
  const hex = bytes.toString('hex', at, at + 16);
  if (hex.startsWith('000000000000000000000000')) return dictionary[bytes.readUInt32LE(at + 12)] ?? null;
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

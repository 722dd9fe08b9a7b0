/** The rows of a dataset snapshot as typed arrays. */
import type { DuckDBConnection } from '@duckdb/node-api';
import { SlipwayError } from '../domain/errors.ts';
import { identifier, literal, reasonOf, withDuckDB } from './duckdb.ts';

export interface DatasetRows {
  readonly count: number;
  readonly rowNumbers: Float64Array;
  /** Unix milliseconds. */
  readonly eventTimesMs: Float64Array;
  /** Row-major [count, features]. */
  readonly values: Float32Array;
  /** 0 or 1. */
  readonly labels: Uint8Array;
}

/** All rows, in the snapshot's time order. @throws SlipwayError DATA_INVALID when the file is no such snapshot. */
export async function readRows(
  file: string,
  features: readonly string[],
  target: string,
): Promise<DatasetRows> {
  const columns = ['row_number::DOUBLE', 'epoch_ms(event_time)::DOUBLE', `${identifier(target)}::FLOAT`];
  columns.push(...features.map((name) => identifier(name)));
  const table = await readNumbers(`SELECT ${columns.join(', ')} FROM read_parquet(${literal(file)})`);
  const [rowNumbers, eventTimesMs, labels, ...rest] = table.columns;
  return {
    count: table.count,
    rowNumbers: rowNumbers!,
    eventTimesMs: eventTimesMs!,
    values: rowMajor(rest, table.count),
    labels: Uint8Array.from(labels!),
  };
}

export function rowMajor(columns: readonly Float64Array[], count: number): Float32Array {
  const values = new Float32Array(count * columns.length);
  for (const [index, column] of columns.entries()) {
    for (let row = 0; row < count; row++) values[row * columns.length + index] = column[row]!;
  }
  return values;
}

/** Columns of numbers; doubles hold every FLOAT and every row number exactly. */
export async function readNumbers(
  sql: string,
): Promise<{ readonly count: number; readonly columns: readonly Float64Array[] }> {
  return withDuckDB(async (connection) => {
    const result = await query(connection, sql);
    const count = result.rowCount;
    const columns = Array.from({ length: result.columnCount }, () => new Float64Array(count));
    let row = 0;
    for (let index = 0; index < result.chunkCount; index++) {
      const chunk = result.getChunk(index);
      for (const [position, column] of columns.entries()) {
        const vector = chunk.getColumnVector(position);
        for (let item = 0; item < chunk.rowCount; item++) {
          const value = vector.getItem(item);
          if (typeof value !== 'number') {
            throw new SlipwayError('DATA_INVALID', `row ${row + item} of the file has a missing value`);
          }
          column[row + item] = value;
        }
      }
      row += chunk.rowCount;
    }
    return { count, columns };
  });
}

async function query(connection: DuckDBConnection, sql: string) {
  try {
    return await connection.run(sql);
  } catch (cause) {
    throw new SlipwayError('DATA_INVALID', 'the file is not readable as the dataset it should be', {
      internal: reasonOf(cause),
      cause,
    });
  }
}

/** The prediction log of an endpoint as one Parquet file. */
import { randomUUID } from 'node:crypto';
import { access, link, mkdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { DuckDBDataChunk, DuckDBTimestampValue } from '@duckdb/node-api';
import type { DuckDBAppender, DuckDBConnection, DuckDBType, DuckDBValue } from '@duckdb/node-api';
import { SlipwayError } from '../domain/errors.ts';
import { errorCode } from '../platform/atomic-file.ts';
import {
  endpointFolderName,
  listSegmentFiles,
  newReadReport,
  readSegments,
  valuesOf,
} from '../platform/prediction-segments/index.ts';
import type { ReadReport, SegmentBlock, SegmentColumn } from '../platform/prediction-segments/index.ts';
import { identifier, literal, withDuckDB } from './duckdb.ts';

export interface ExportOptions {
  /** The home's folder of predictions. */
  readonly folder: string;
  readonly endpoint: string;
  /** Rows at or after this instant, in Unix milliseconds; null for all. */
  readonly sinceMs: number | null;
  /** Rows before this instant. */
  readonly untilMs: number | null;
  readonly output: string;
  readonly overwrite: boolean;
}

export interface ExportSummary {
  readonly rows: number;
  readonly bytes: number;
  /** Rows that gateways dropped, as the blocks that were looked at say. */
  readonly dropped: number;
  readonly segments: number;
  readonly torn: ReadReport['torn'];
}

/** As many as DuckDB takes at once. */
const CHUNK_ROWS = 2048;

/**
 * Columns are named for the segment's, features `feature_<name>` and statuses `status_<name>`; `at` is UTC. Rows are in
 * the order of time.
 * @throws SlipwayError NOT_FOUND without a log, OUTPUT_EXISTS, PREDICTION_LOG_INVALID
 */
export async function exportPredictions(options: ExportOptions): Promise<ExportSummary> {
  const output = resolve(options.output);
  if (!options.overwrite) await refuseExisting(output);
  const files = await listSegmentFiles(join(options.folder, endpointFolderName(options.endpoint)));
  if (files.length === 0) {
    const message = `there is no prediction log of ${options.endpoint}; \`slipway predictions list\` says what there is`;
    throw new SlipwayError('NOT_FOUND', message);
  }
  await mkdir(dirname(output), { recursive: true });
  const temporary = join(dirname(output), `.predictions-${randomUUID()}`);
  try {
    const report = newReadReport();
    const loaded = await withDuckDB(async (connection) => {
      // What does not fit into memory goes beside the result, and not into the folder that the command runs in.
      await connection.run(`SET temp_directory = ${literal(`${temporary}.spill`)}`);
      const table = new PredictionTable(connection);
      let dropped = 0;
      for await (const block of readSegments(
        files.map(({ path }) => path),
        report,
      )) {
        if (!overlaps(block, options)) continue;
        dropped += block.dropped;
        await table.add(block, options);
      }
      return { rows: await table.write(`${temporary}.parquet`), dropped };
    });
    const { size } = await stat(`${temporary}.parquet`);
    await place(`${temporary}.parquet`, output, options.overwrite);
    return { ...loaded, bytes: size, segments: report.segments, torn: report.torn };
  } finally {
    await rm(`${temporary}.parquet`, { force: true });
    await rm(`${temporary}.spill`, { recursive: true, force: true });
  }
}

type Range = Pick<ExportOptions, 'sinceMs' | 'untilMs'>;

const isWithin = (atMs: number, { sinceMs, untilMs }: Range): boolean =>
  (sinceMs === null || atMs >= sinceMs) && (untilMs === null || atMs < untilMs);

function overlaps({ firstAtMs, lastAtMs }: SegmentBlock, { sinceMs, untilMs }: Range): boolean {
  return (sinceMs === null || lastAtMs >= sinceMs) && (untilMs === null || firstAtMs < untilMs);
}

const TYPES: Readonly<Record<SegmentColumn['type'], string>> = {
  id: 'VARCHAR',
  u16: 'USMALLINT',
  u32: 'UINTEGER',
  f32: 'FLOAT',
  f64: 'DOUBLE',
  i64: 'BIGINT',
  dict8: 'VARCHAR',
  enum8: 'VARCHAR',
};

/** A table that gets a column whenever a segment has one that was not there before: allow-lists change. */
class PredictionTable {
  readonly #connection: DuckDBConnection;
  /** Keys of columns in the order of the table, with their names there. */
  readonly #columns = new Map<string, string>();
  #types: DuckDBType[] = [];
  #appender: DuckDBAppender | null = null;
  #rows = 0;

  constructor(connection: DuckDBConnection) {
    this.#connection = connection;
  }

  async add(block: SegmentBlock, range: Range): Promise<void> {
    const appender = await this.#appenderFor(block.schema.columns);
    const at = valuesOf(block, indexOf(block, 'at')) as number[];
    const all = isWithin(block.firstAtMs, range) && isWithin(block.lastAtMs, range);
    for (let from = 0; from < block.rows; from += CHUNK_ROWS) {
      const to = Math.min(from + CHUNK_ROWS, block.rows);
      const wanted = all ? null : at.slice(from, to).map((atMs) => isWithin(atMs, range));
      const rows = wanted === null ? to - from : wanted.filter(Boolean).length;
      if (rows === 0) continue;
      const chunk = DuckDBDataChunk.create(this.#types, rows);
      const nothing = Array.from<DuckDBValue>({ length: rows }).fill(null);
      const found = new Map(block.schema.columns.map((column, index) => [keyOf(column), index]));
      for (const [position, key] of [...this.#columns.keys()].entries()) {
        const index = found.get(key);
        const values = index === undefined ? nothing : exported(block, index, from, to);
        chunk.setColumnValues(
          position,
          wanted === null || values === nothing ? values : values.filter((_, row) => wanted[row]),
        );
      }
      appender.appendDataChunk(chunk);
      this.#rows += rows;
    }
  }

  /** @returns how many rows there are */
  async write(file: string): Promise<number> {
    this.#appender?.closeSync();
    if (this.#rows === 0) {
      const message =
        'the prediction log has no row of this time; `slipway predictions list` says what it has';
      throw new SlipwayError('NOT_FOUND', message);
    }
    await this.#connection.run(
      `COPY (SELECT * FROM predictions ORDER BY "at", prediction_id, arm) TO ${literal(file)}
       (FORMAT parquet, COMPRESSION zstd)`,
    );
    return this.#rows;
  }

  async #appenderFor(columns: readonly SegmentColumn[]): Promise<DuckDBAppender> {
    const fresh = columns.filter((column) => !this.#columns.has(keyOf(column)));
    if (fresh.length === 0 && this.#appender !== null) return this.#appender;
    this.#appender?.closeSync();
    for (const column of fresh) {
      const name = this.#freeName(column);
      const type = column.name === 'at' ? 'TIMESTAMP' : TYPES[column.type];
      await this.#connection.run(
        this.#columns.size === 0
          ? `CREATE TABLE predictions (${identifier(name)} ${type})`
          : `ALTER TABLE predictions ADD COLUMN ${identifier(name)} ${type}`,
      );
      this.#columns.set(keyOf(column), name);
    }
    const appender = await this.#connection.createAppender('predictions');
    this.#types = Array.from({ length: appender.columnCount }, (_, index) => appender.columnType(index));
    this.#appender = appender;
    return appender;
  }

  /** DuckDB takes names that differ in case only for the same. */
  #freeName({ name, role }: SegmentColumn): string {
    const wanted = role === 'fixed' ? name : `${role}_${name}`;
    const taken = new Set([...this.#columns.values()].map((column) => column.toLowerCase()));
    let free = wanted;
    for (let number = 2; taken.has(free.toLowerCase()); number += 1) free = `${wanted}_${number}`;
    return free;
  }
}

const keyOf = ({ role, name, type }: SegmentColumn): string => `${role} ${type} ${name}`;

const indexOf = (block: SegmentBlock, name: string): number =>
  block.schema.columns.findIndex((column) => column.role === 'fixed' && column.name === name);

/** As the row is known elsewhere: `<id>/<row>` for one of several, which is what PostgreSQL has, and labels name. */
function exported(block: SegmentBlock, index: number, from: number, to: number): DuckDBValue[] {
  const values = valuesOf(block, index, from, to);
  const { name, role } = block.schema.columns[index] as SegmentColumn;
  if (role !== 'fixed') return values;
  if (name === 'at')
    return values.map((atMs) => new DuckDBTimestampValue(BigInt(Math.round(Number(atMs) * 1000))));
  if (name === 'row') return values.map((row) => row ?? 0);
  if (name !== 'prediction_id') return values;
  const rows = valuesOf(block, indexOf(block, 'row'), from, to);
  return values.map((id, row) => (rows[row] === null ? id : `${String(id)}/${String(rows[row])}`));
}

async function refuseExisting(output: string): Promise<void> {
  try {
    await access(output);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    throw error;
  }
  throw exists(output);
}

async function place(temporary: string, output: string, overwrite: boolean): Promise<void> {
  if (overwrite) return rename(temporary, output);
  try {
    // A rename would replace a file that has come meanwhile.
    await link(temporary, output);
  } catch (error) {
    throw errorCode(error) === 'EEXIST' ? exists(output) : error;
  }
}

function exists(output: string): SlipwayError {
  return new SlipwayError('OUTPUT_EXISTS', `${output} is there already; add --force to replace it`);
}

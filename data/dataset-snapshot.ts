/** The training data of a release as one Parquet file, the same bytes for the same input. */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, mkdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { StatementType } from '@duckdb/node-api';
import type { DuckDBConnection } from '@duckdb/node-api';
import { SlipwayError } from '../domain/errors.ts';
import { checkColumns } from './column-checks.ts';
import { identifier, literal, reasonOf, withDuckDB } from './duckdb.ts';

export interface SnapshotOptions {
  /** CSV, also gzip. */
  readonly file: string;
  /** One SELECT over the table `source`: the file with `row_number`, counted from 0. */
  readonly query: string;
  readonly features: readonly string[];
  readonly target: string;
  /** Only rows with `event_time` before this instant (ISO 8601); absent: all rows. */
  readonly trainBefore?: string;
  /** Where the Parquet file is written. */
  readonly output: string;
  readonly signal?: AbortSignal;
}

export interface Snapshot {
  /** `sha256:<hex>` of the Parquet file. */
  readonly digest: string;
  /** `sha256:<hex>` of the raw file. */
  readonly source: string;
  readonly rows: number;
  readonly firstEventMs: number;
  readonly lastEventMs: number;
  readonly positiveShare: number;
}

/**
 * @throws SlipwayError DATA_INVALID, with a problem per column; INVALID_PARAMETER for a `trainBefore` that is no
 *   instant; the signal's reason when it was aborted.
 */
export async function createSnapshot(options: SnapshotOptions): Promise<Snapshot> {
  const { signal } = options;
  signal?.throwIfAborted();
  const cut = options.trainBefore === undefined ? null : instant(options.trainBefore);
  const output = resolve(options.output);
  const temporary = join(dirname(output), `.snapshot-${randomUUID()}.parquet`);
  await mkdir(dirname(output), { recursive: true });
  try {
    const summary = await withDuckDB(async (connection) => {
      const interrupt = (): void => connection.interrupt();
      signal?.addEventListener('abort', interrupt);
      try {
        await loadSource(connection, options.file);
        await closeDoors(connection, temporary);
        await runQuery(connection, options.query);
        await checkColumns(connection, options);
        await writeParquet(connection, options, cut, temporary);
        return await summarise(connection, options.target, temporary);
      } catch (error) {
        signal?.throwIfAborted();
        throw error;
      } finally {
        signal?.removeEventListener('abort', interrupt);
      }
    });
    const snapshot = { digest: await sha256(temporary), source: await sha256(options.file), ...summary };
    await rename(temporary, output);
    return snapshot;
  } finally {
    await rm(temporary, { force: true });
  }
}

async function loadSource(connection: DuckDBConnection, file: string): Promise<void> {
  const name = basename(file);
  try {
    await access(file);
  } catch (cause) {
    throw new SlipwayError('DATA_INVALID', `the data file ${name} cannot be read; check /spec/data/file`, {
      internal: file,
      cause,
    });
  }
  try {
    // The whole file decides the types, so that a late surprise is an error and not a NULL.
    await connection.run(
      `CREATE TABLE source AS SELECT row_number() OVER () - 1 AS row_number, *
       FROM read_csv(${literal(file)}, header = true, sample_size = -1)`,
    );
  } catch (cause) {
    throw new SlipwayError(
      'DATA_INVALID',
      `the data file ${name} is no CSV with a header: ${reasonOf(cause).replaceAll(file, name)}`,
      { cause },
    );
  }
}

/** From here on the SQL of the manifest runs: it may read `source`, and nothing but the snapshot may be written. */
async function closeDoors(connection: DuckDBConnection, output: string): Promise<void> {
  await connection.run(`SET allowed_paths = [${literal(output)}]`);
  await connection.run('SET enable_external_access = false');
  await connection.run('SET lock_configuration = true');
}

async function runQuery(connection: DuckDBConnection, query: string): Promise<void> {
  try {
    const statements = await connection.extractStatements(query);
    const only = statements.count === 1 ? await statements.prepare(0) : undefined;
    if (only?.statementType !== StatementType.SELECT) {
      throw new SlipwayError('DATA_INVALID', 'the data query must be one SELECT statement');
    }
    // The line break ends a comment that the query may end with.
    await connection.run(
      `CREATE TABLE result AS SELECT * FROM (\n${query.trim().replace(/;+$/, '')}\n) AS query`,
    );
  } catch (cause) {
    if (cause instanceof SlipwayError) throw cause;
    throw new SlipwayError('DATA_INVALID', `the data query failed: ${reasonOf(cause)}`, { cause });
  }
}

async function writeParquet(
  connection: DuckDBConnection,
  { features, target }: SnapshotOptions,
  cut: number | null,
  output: string,
): Promise<void> {
  const columns = [
    'row_number::BIGINT AS row_number',
    'event_time::TIMESTAMP AS event_time',
    ...features.map((name) => `${identifier(name)}::FLOAT AS ${identifier(name)}`),
    `${identifier(target)}::TINYINT AS ${identifier(target)}`,
  ];
  const before = cut === null ? '' : `WHERE epoch_ms(event_time::TIMESTAMP) < ${cut}`;
  await connection.run(
    `COPY (SELECT ${columns.join(', ')} FROM result ${before} ORDER BY event_time, row_number)
     TO ${literal(output)} (FORMAT parquet, COMPRESSION zstd)`,
  );
}

async function summarise(
  connection: DuckDBConnection,
  target: string,
  file: string,
): Promise<Omit<Snapshot, 'digest' | 'source'>> {
  const reader = await connection.runAndReadAll(
    `SELECT count(*)::DOUBLE, min(epoch_ms(event_time))::DOUBLE, max(epoch_ms(event_time))::DOUBLE,
            avg(${identifier(target)})::DOUBLE FROM read_parquet(${literal(file)})`,
  );
  const [rows, first, last, share] = reader.getRows()[0] as (number | null)[];
  if (!rows || first == null || last == null || share == null) {
    throw new SlipwayError('DATA_INVALID', 'no row is before the training cut; set a later train_before');
  }
  return { rows, firstEventMs: first, lastEventMs: last, positiveShare: share };
}

function instant(text: string): number {
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) {
    const reason = `must be an instant like 1997-05-01T00:00:00Z, not ${text}`;
    throw new SlipwayError('INVALID_PARAMETER', `train_before ${reason}`, {
      problems: [{ path: '/train_before', reason }],
    });
  }
  return ms;
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return `sha256:${hash.digest('hex')}`;
}

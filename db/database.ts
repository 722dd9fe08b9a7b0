/**
 * One pool of connections to PostgreSQL with drizzle on top. Each repository is a factory over a `Database`; each
 * call of a repository is one transaction that leaves all of its effect, with its audit row, or none.
 */
import { drizzle } from 'drizzle-orm/node-postgres';
import type { NodePgDatabase } from 'drizzle-orm/node-postgres';
import type { SQL } from 'drizzle-orm';
import { Pool } from 'pg';
import { databaseFailure } from './failure.ts';

export interface DatabaseOptions {
  readonly databaseUrl: string;
  /** Shown in `pg_stat_activity`. */
  readonly applicationName: string;
  readonly maxConnections?: number;
  readonly timeoutMsStatement?: number;
  readonly timeoutMsConnect?: number;
  /** An idle connection broke; the pool has already dropped it and opens another when it needs one. */
  readonly onConnectionLost?: (error: Error) => void;
}

type Orm = NodePgDatabase;
export type Transaction = Parameters<Parameters<Orm['transaction']>[0]>[0];
/** A transaction, or the pool itself for a single statement. */
export type Executor = Pick<Orm, 'select' | 'selectDistinctOn' | 'insert' | 'update' | 'execute'>;

export interface Database {
  readonly pool: Pool;
  /** Runs `work` in one transaction (READ COMMITTED). @throws SlipwayError */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>;
  /** Runs reading `work` on one snapshot. @throws SlipwayError */
  snapshot<T>(work: (tx: Transaction) => Promise<T>): Promise<T>;
  /** Runs `work` that needs no transaction. @throws SlipwayError */
  read<T>(work: (orm: Executor) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export function openDatabase(options: DatabaseOptions): Database {
  const timeoutMsStatement = options.timeoutMsStatement ?? 15_000;
  const pool = new Pool({
    connectionString: options.databaseUrl,
    application_name: options.applicationName,
    max: options.maxConnections ?? 10,
    connectionTimeoutMillis: options.timeoutMsConnect ?? 5_000,
    statement_timeout: timeoutMsStatement,
    // A server that has vanished sends no timeout of its own.
    query_timeout: timeoutMsStatement + 1000,
    // A process that stops in the middle of a transaction must not hold a route's lock for longer than a statement.
    idle_in_transaction_session_timeout: timeoutMsStatement,
    keepAlive: true,
  });
  // Without a listener a broken idle connection would end the process.
  pool.on('error', (error) => options.onConnectionLost?.(error));
  const orm: Orm = drizzle(pool);

  return {
    pool,
    transaction: (work) => guarded(orm.transaction(work)),
    snapshot: (work) =>
      guarded(orm.transaction(work, { isolationLevel: 'repeatable read', accessMode: 'read only' })),
    read: (work) => guarded(work(orm)),
    close: () => pool.end(),
  };
}

async function guarded<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw databaseFailure(error);
  }
}

/** Rows of a handwritten statement; its columns are named and cast in the statement itself. */
export async function rowsOf<Row extends object>(
  executor: Executor,
  statement: SQL,
): Promise<readonly Row[]> {
  const { rows } = await executor.execute(statement);
  return rows as unknown as readonly Row[];
}

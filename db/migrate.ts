/** Brings a database to the schema of this build. Forward only; safe to call from every process that starts. */
import { join } from 'node:path';
import { drizzle } from 'drizzle-orm/node-postgres';
import { migrate as applyMigrations } from 'drizzle-orm/node-postgres/migrator';
import { Client } from 'pg';
import { projectRoot } from '../platform/root.ts';
import { databaseFailure } from './failure.ts';

/** "slip" in ASCII: one lock per database, held while migrations run. */
const MIGRATION_LOCK = 0x736c6970;

/** @throws SlipwayError UNAVAILABLE when PostgreSQL cannot be reached */
export async function migrate(databaseUrl: string): Promise<void> {
  const client = new Client({
    connectionString: databaseUrl,
    application_name: 'slipway-migrate',
    connectionTimeoutMillis: 5_000,
    lock_timeout: 120_000,
  });
  // The query that is running rejects with the same error; without a listener it would end the process.
  client.on('error', () => undefined);
  try {
    await client.connect();
    // Concurrent starters wait here and then find nothing left to do. The lock ends with the connection.
    await client.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
    await applyMigrations(drizzle(client), { migrationsFolder: join(projectRoot(), 'migrations') });
  } catch (error) {
    throw databaseFailure(error);
  } finally {
    await client.end();
  }
}

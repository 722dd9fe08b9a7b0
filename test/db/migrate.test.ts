import { strict as assert } from 'node:assert';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'mocha';
import { Client } from 'pg';
import { migrate } from '../../db/index.ts';
import { projectRoot } from '../../platform/root.ts';
import { freshDatabase } from '../support/stack.ts';
import { withCode } from './registry-fixture.ts';

describe('migrate', () => {
  const name = `migrate_${randomBytes(4).toString('hex')}`;
  let admin: Client;
  let drop: () => Promise<void>;
  let databaseUrl: string;

  before(async () => {
    const fresh = await freshDatabase();
    drop = () => fresh.drop();
    admin = new Client({ connectionString: fresh.databaseUrl });
    await admin.connect();
    await admin.query(`create database ${name}`);
    const url = new URL(fresh.databaseUrl);
    url.pathname = `/${name}`;
    databaseUrl = url.href;
  });
  after(async () => {
    await admin.query(`drop database if exists ${name} with (force)`);
    await admin.end();
    await drop();
  });

  it('run by five processes at once and once more, applies each migration once', async () => {
    await Promise.all(Array.from({ length: 5 }, () => migrate(databaseUrl)));
    await migrate(databaseUrl);
    const journal = JSON.parse(
      readFileSync(join(projectRoot(), 'migrations', 'meta', '_journal.json'), 'utf8'),
    ) as { entries: readonly unknown[] };
    const client = new Client({ connectionString: databaseUrl });
    await client.connect();
    const { rows } = await client.query<{ n: number }>(
      'select count(*)::int as n from drizzle.__drizzle_migrations',
    );
    await client.end();
    assert.equal(rows[0]?.n, journal.entries.length);
  });

  it('says that PostgreSQL cannot be reached, and to try again', async () => {
    const url = new URL(databaseUrl);
    url.port = '1';
    await assert.rejects(migrate(url.href), withCode('UNAVAILABLE'));
  });
});

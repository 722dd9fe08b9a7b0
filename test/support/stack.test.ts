import assert from 'node:assert/strict';

import { after, before, describe, it } from 'mocha';
import { Client } from 'pg';

import { temporalAnswers } from '../../deploy/local/temporal-server.ts';
import { freshDatabase, sharedTemporal } from './stack.ts';
import type { FreshDatabase } from './stack.ts';

async function rows(databaseUrl: string, text: string): Promise<readonly Record<string, unknown>[]> {
  const client = new Client({ connectionString: databaseUrl });
  try {
    await client.connect();
    return (await client.query<Record<string, unknown>>(text)).rows;
  } finally {
    await client.end();
  }
}

const TABLES = "select tablename from pg_tables where schemaname not in ('pg_catalog', 'information_schema')";

describe('the servers that the tests share', () => {
  const databases: FreshDatabase[] = [];
  before(async () => {
    databases.push(...(await Promise.all([freshDatabase(), freshDatabase()])));
  });
  after(async () => {
    for (const database of databases) await database.drop();
  });

  it('give each test file a migrated database of its own', async () => {
    const [one, two] = databases;
    assert.ok(one !== undefined && two !== undefined);
    assert.ok((await rows(one.databaseUrl, TABLES)).some(({ tablename }) => tablename === 'models'));
    await rows(one.databaseUrl, 'create table only_here (n int)');
    const inTwo = await rows(two.databaseUrl, TABLES);
    assert.equal(
      inTwo.some(({ tablename }) => tablename === 'only_here'),
      false,
    );
  });

  it('are one Temporal for the whole run', async () => {
    const [first, second] = await Promise.all([sharedTemporal(), sharedTemporal()]);
    assert.equal(first, second);
    assert.ok(await temporalAnswers(first.address, first.namespace));
  });
});

import { strict as assert } from 'node:assert';
import { after, before, describe, it } from 'mocha';
import { createOnlineFeatureWriter, createOnlineStore, openDatabase } from '../../db/index.ts';
import type { Database } from '../../db/index.ts';
import { onlineStoreContract } from '../serving/features/store-contract.ts';
import type { OpenedStore } from '../serving/features/store-contract.ts';
import { freshDatabase } from '../support/stack.ts';

async function open(): Promise<OpenedStore & { db: Database }> {
  const fresh = await freshDatabase();
  const db = openDatabase({
    databaseUrl: fresh.databaseUrl,
    applicationName: 'slipway-test',
    maxConnections: 4,
  });
  return {
    db,
    store: createOnlineStore(db),
    writer: createOnlineFeatureWriter(db),
    async close() {
      await db.close();
      await fresh.drop();
    },
  };
}

onlineStoreContract('PostgreSQL', open);

describe('the online store in PostgreSQL', () => {
  let opened: Awaited<ReturnType<typeof open>>;
  before(async () => {
    opened = await open();
  });
  after(() => opened.close());

  it('what was hot more than an hour ago is forgotten', async () => {
    const { store, db } = opened;
    await store.noteHeat('v', [{ key: 'old', heat: 1000 }]);
    await db.pool.query(`update online_feature_heat set noted_at = now() - interval '61 minutes'`);
    assert.deepEqual(await store.hottest('v', 5), []);
    await store.noteHeat('v', [{ key: 'new', heat: 1 }]);
    const { rows } = await db.pool.query<{ n: number }>('select count(*)::int4 n from online_feature_heat');
    assert.equal(rows[0]?.n, 1);
  });

  it('a read of a large table goes by its index, whatever the number of keys', async () => {
    const { db } = opened;
    await db.pool.query(`insert into online_features (view, entity_key, "values", event_at)
      select 'big', 'k' || i, '{"x":1}', now() from generate_series(1, 50000) i`);
    await db.pool.query('analyze online_features');
    await opened.store.read([{ view: 'big', keys: ['k1'] }]);
    const before = await scans(db);
    for (let round = 0; round < 12; round += 1) {
      const keys = Array.from({ length: 64 }, (_, index) => `k${round * 64 + index + 1}`);
      const [rows] = await opened.store.read([{ view: 'big', keys }]);
      assert.ok(rows?.every((row) => row !== null));
    }
    assert.equal(await scans(db), before, 'no sequential scan');
  });
});

async function scans(db: Database): Promise<number> {
  await db.pool.query('select pg_stat_force_next_flush()');
  const { rows } = await db.pool.query<{ n: string }>(
    `select seq_scan n from pg_stat_user_tables where relname = 'online_features'`,
  );
  return Number(rows[0]?.n);
}

/**
 * Online features: time and CPU of one join of one row over two views (8 features each), from the cache, from
 * PostgreSQL and from Redis, one request at a time and 64 at once; then how fast each store is written.
 *
 *   node dist/bench/serving/features.bench.js [database url]
 *
 * Without a URL it starts the PostgreSQL that the tests use. Redis is left out where no `redis-server` is installed.
 * A bare `select 1` and a bare `GET` in the same rounds say how much of a read is the round trip itself.
 */
import { build } from 'hdr-histogram-js';
import type { Histogram } from 'hdr-histogram-js';
import { createClient } from '@redis/client';
import type { Pool } from 'pg';
import { createOnlineFeatureWriter, createOnlineStore, openDatabase } from '../../db/index.ts';
import type { FeatureSpec } from '../../domain/manifest/model-manifest.ts';
import { NO_FEATURE_METRICS, OnlineFeatures, openRedisStore } from '../../serving/features/index.ts';
import type { FeatureJoiner, OnlineFeatureWriter, OnlineStore } from '../../serving/features/index.ts';
import { NO_LOG } from '../../serving/log.ts';
import { redisInstalled, startRedis } from '../../test/support/redis.ts';
import { freshDatabase, stopShared } from '../../test/support/stack.ts';

const ENTITIES = 50_000;
const FEATURES_PER_VIEW = 8;
const VIEWS = ['demand', 'prices'];
const ROUND_MS = 1500;
const ROUNDS = 3;

const specs: FeatureSpec[] = VIEWS.flatMap((view) =>
  Array.from({ length: FEATURES_PER_VIEW }, (_, i) => ({
    name: `${view}_${i}`,
    online: { view, feature: `f${i}`, onMissing: 'fail' },
  })),
);
const viewSpecs = VIEWS.map((name) => ({ name, entity: 'id', ttlMs: 3_600_000 }));

function featuresOver(store: OnlineStore, cached: boolean): FeatureJoiner {
  // A refresh time of 0 with nothing served meanwhile: each join asks the store.
  const settings = cached
    ? { refreshMs: 3_600_000 }
    : { refreshMs: 0, maxRevalidateMs: 0, timeoutMs: 2000, capacity: 1000 };
  const features = new OnlineFeatures({ store, metrics: NO_FEATURE_METRICS, log: NO_LOG, settings });
  const joiner = features.joiner(specs, viewSpecs);
  if (joiner === null) throw new Error('no online features');
  return joiner;
}

async function fill(name: string, writer: OnlineFeatureWriter): Promise<void> {
  const eventAtMs = Date.now();
  const values = Object.fromEntries(
    Array.from({ length: FEATURES_PER_VIEW }, (_, i) => [`f${i}`, Math.sin(i + 1)]),
  );
  const rows = Array.from({ length: ENTITIES }, (_, i) => ({ key: `entity-${i}`, eventAtMs, values }));
  const startedMs = performance.now();
  for (const view of VIEWS) await writer.write(view, rows);
  const seconds = (performance.now() - startedMs) / 1000;
  console.log(`${name}: ${Math.round((ENTITIES * VIEWS.length) / seconds)} rows/s written, one writer`);
}

const newHistogram = (): Histogram => build({ lowestDiscernibleValue: 1, highestTrackableValue: 1e10 });

/** Calls `one` for a while, `atOnce` at a time; nanoseconds each, and CPU of this process for each. */
async function measure(name: string, atOnce: number, one: (i: number) => unknown): Promise<void> {
  const histogram = newHistogram();
  const cpu: number[] = [];
  let sequence = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const before = process.cpuUsage();
    const end = performance.now() + ROUND_MS;
    let done = 0;
    const caller = async (): Promise<void> => {
      while (performance.now() < end) {
        sequence += 1;
        const from = process.hrtime.bigint();
        const result = one(sequence);
        if (result instanceof Promise) await result;
        // The first round warms the compiler.
        if (round > 0) histogram.recordValue(Number(process.hrtime.bigint() - from));
        done += 1;
      }
    };
    await Promise.all(Array.from({ length: atOnce }, caller));
    const { user, system } = process.cpuUsage(before);
    if (round > 0) cpu.push((user + system) / done);
  }
  const ms = (percentile: number): string => (histogram.getValueAtPercentile(percentile) / 1e6).toFixed(4);
  const micros = Math.min(...cpu).toFixed(2);
  console.log(
    `${name}, ${atOnce} at once: p50 ${ms(50)} p99 ${ms(99)} p99.9 ${ms(99.9)} ms, ${micros} CPU-µs, n ${histogram.totalCount}`,
  );
}

const key = (i: number): string[] => [`entity-${(i * 7919) % ENTITIES}`];

async function measureStore(name: string, store: OnlineStore): Promise<void> {
  const joiner = featuresOver(store, false);
  for (const atOnce of [1, 64]) {
    const columns = Array.from({ length: atOnce }, () => new Float32Array(specs.length));
    await measure(`${name} store`, atOnce, (i) => {
      const into = columns[i % atOnce];
      return into && joiner.join(into, 1, [key(i)], Infinity);
    });
  }
}

async function measureCache(store: OnlineStore): Promise<void> {
  const joiner = featuresOver(store, true);
  for (const rows of [1, 16]) {
    const columns = new Float32Array(specs.length * rows);
    const batches = Array.from({ length: 1000 }, (_, b) => [
      Array.from({ length: rows }, (_, r) => `entity-${(b * rows + r) % 16_000}`),
    ]);
    for (const keys of batches) await joiner.join(columns, rows, keys, Infinity);
    await measure(`cached, ${rows} rows of 2 views`, 1, (i) =>
      joiner.join(columns, rows, batches[i % 1000] ?? [], Infinity),
    );
  }
}

async function bareSelect(pool: Pool): Promise<void> {
  await measure('bare select 1', 1, () => pool.query({ name: 'bare', text: 'select 1', values: [] }));
}

async function postgres(databaseUrl: string): Promise<void> {
  const db = openDatabase({ databaseUrl, applicationName: 'slipway-bench', maxConnections: 4 });
  const store = createOnlineStore(db);
  await fill('PostgreSQL', createOnlineFeatureWriter(db));
  await db.pool.query('vacuum analyze online_features');
  await measureCache(store);
  await bareSelect(db.pool);
  await measureStore('PostgreSQL', store);
  await db.close();
}

async function redis(): Promise<void> {
  const server = await startRedis();
  const store = openRedisStore({ url: server.url });
  while (!store.ready) await new Promise((resolve) => setTimeout(resolve, 10));
  await fill('Redis', store);
  const client = await createClient({ url: server.url }).connect();
  await measure('bare GET', 1, () => client.get('none'));
  client.destroy();
  await measureStore('Redis', store);
  await store.close();
  await server.stop();
}

const [given] = process.argv.slice(2);
const fresh = given === undefined ? await freshDatabase() : null;
await postgres(given ?? fresh?.databaseUrl ?? '');
await fresh?.drop();
if (redisInstalled()) await redis();
if (fresh !== null) await stopShared();

/** The online feature store in PostgreSQL: one prepared statement reads a request batch of any number of views. */
import { writableRows } from '../domain/features/online-row.ts';
import type { OnlineRow } from '../domain/features/online-row.ts';
import type { OnlineFeatureWriter, OnlineStore } from '../serving/features/index.ts';
import type { Database } from './database.ts';
import { databaseFailure } from './failure.ts';

/** Rows of one statement: large enough for speed, small enough for its lock and its memory. */
const ROWS_PER_WRITE = 5000;

/**
 * Written by hand and prepared by name: drizzle would build and PostgreSQL would plan it again for each read, which
 * costs more than the read.
 */
const READ = {
  name: 'slipway_read_online_features',
  text: `select k.i::int4, (extract(epoch from f.event_at) * 1000)::float8, f."values"
    from unnest($1::text[], $2::text[]) with ordinality as k(view, entity_key, i)
    join online_features f on f.view = k.view collate "C" and f.entity_key = k.entity_key collate "C"`,
  rowMode: 'array',
} as const;

const WRITE = `insert into online_features as f (view, entity_key, "values", event_at)
  select $1, r.key, r."values", to_timestamp(r.event_ms / 1000.0)
  from unnest($2::text[], $3::jsonb[], $4::float8[]) as r(key, "values", event_ms)
  order by r.key collate "C"
  on conflict (view, entity_key) do update
    set "values" = excluded."values", event_at = excluded.event_at, written_at = clock_timestamp()
    where excluded.event_at >= f.event_at`;

/** What was hot an hour ago counts for half of what is hot now, or is forgotten. */
const NOTE_HEAT = `insert into online_feature_heat as h (view, entity_key, heat, noted_at)
  select $1, r.key, r.heat, clock_timestamp() from unnest($2::text[], $3::float4[]) as r(key, heat)
  order by r.key collate "C"
  on conflict (view, entity_key) do update
    set heat = h.heat / 2 + excluded.heat, noted_at = excluded.noted_at`;

const FORGET_HEAT = `delete from online_feature_heat where view = $1 and noted_at < now() - interval '1 hour'`;

const HOTTEST = `select entity_key from online_feature_heat
  where view = $1 and noted_at >= now() - interval '1 hour' order by heat desc, entity_key limit $2`;

type ReadRow = readonly [position: number, eventAtMs: number, values: OnlineRow['values']];

export function createOnlineStore({ pool }: Pick<Database, 'pool'>): OnlineStore {
  return {
    async read(reads) {
      const views: string[] = [];
      const keys: string[] = [];
      for (const { view, keys: own } of reads) {
        for (const key of own) {
          views.push(view);
          keys.push(key);
        }
      }
      const flat: (OnlineRow | null)[] = Array.from({ length: keys.length }, () => null);
      const { rows } = await guarded(pool.query<ReadRow[]>({ ...READ, values: [views, keys] }));
      for (const [position, eventAtMs, values] of rows as unknown as readonly ReadRow[]) {
        flat[position - 1] = { eventAtMs, values };
      }
      let from = 0;
      return reads.map(({ keys: own }) => flat.slice(from, (from += own.length)));
    },

    async hottest(view, limit) {
      const { rows } = await guarded(pool.query<{ entity_key: string }>(HOTTEST, [view, limit]));
      return rows.map(({ entity_key: key }) => key);
    },

    async noteHeat(view, heat) {
      await guarded(pool.query(FORGET_HEAT, [view]));
      await guarded(
        pool.query(NOTE_HEAT, [view, heat.map(({ key }) => key), heat.map(({ heat: count }) => count)]),
      );
    },
  };
}

/** For whoever materialises feature views; each batch is a transaction of its own, since any part may be repeated. */
export function createOnlineFeatureWriter({ pool }: Pick<Database, 'pool'>): OnlineFeatureWriter {
  return {
    async write(view, rows) {
      const writable = writableRows(rows);
      for (let at = 0; at < writable.length; at += ROWS_PER_WRITE) {
        const batch = writable.slice(at, at + ROWS_PER_WRITE);
        const keys = batch.map(({ key }) => key);
        const values = batch.map((row) => JSON.stringify(row.values));
        const times = batch.map(({ eventAtMs }) => eventAtMs);
        await guarded(pool.query(WRITE, [view, keys, values, times]));
      }
    },
  };
}

async function guarded<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw databaseFailure(error);
  }
}

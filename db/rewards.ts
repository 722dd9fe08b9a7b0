/** Rewards of callers: stored as they come, once for each prediction; joined to decisions by `reward-join.ts`. */
import { sql } from 'drizzle-orm';
import type { RewardReceipt, RewardRow, RewardSink } from '../api/experiment-ports.ts';
import { SlipwayError } from '../domain/errors.ts';
import type { Problem } from '../domain/errors.ts';
import { rowsOf } from './database.ts';
import type { Database, Transaction } from './database.ts';
import { rewardRepeats, rewards } from './schema/experiments.ts';

export function createRewardSink(db: Database): RewardSink {
  return {
    async addRewards(rows) {
      checkRewards(rows);
      return rows.length === 0
        ? { accepted: 0, duplicate: 0, conflicting: 0 }
        : db.transaction((tx) => store(tx, rows));
    },
  };
}

async function store(tx: Transaction, rows: readonly RewardRow[]): Promise<RewardReceipt> {
  // In the order of their ids, so that two batches with the same ids never wait for each other.
  const given = sql`jsonb_to_recordset(${JSON.stringify(rows.map((row, place) => ({ ...row, place })))}::jsonb)
    as g("predictionId" text, reward float8, "observedAtMs" float8, place int)`;
  const stored = await rowsOf<{ id: string }>(
    tx,
    sql`insert into ${rewards} (prediction_id, reward, observed_at, received_at)
      select "predictionId", reward, to_timestamp("observedAtMs" / 1000.0), clock_timestamp() from ${given}
      order by "predictionId", place
      on conflict do nothing returning prediction_id as id`,
  );
  // What was stored just now is the first of its id in this batch; every other row repeats something.
  const fresh = JSON.stringify(stored.map(({ id }) => id));
  const [repeats] = await rowsOf<{ duplicate: number; conflicting: number }>(
    tx,
    sql`with fresh as (select jsonb_array_elements_text(${fresh}::jsonb) as id),
      first as (select min(place) as place from ${given} join fresh on fresh.id = "predictionId" group by "predictionId"),
      repeated as (
        insert into ${rewardRepeats} (prediction_id, reward, conflicting)
        select g."predictionId", g.reward, (g.reward <> s.reward)::int from ${given}
        join ${rewards} s on s.prediction_id = g."predictionId"
        where g.place not in (select place from first) returning conflicting)
      select count(*) filter (where conflicting = 0)::int as duplicate,
        count(*) filter (where conflicting = 1)::int as conflicting from repeated`,
  );
  return {
    accepted: stored.length,
    duplicate: repeats?.duplicate ?? 0,
    conflicting: repeats?.conflicting ?? 0,
  };
}

function checkRewards(rows: readonly RewardRow[]): void {
  const problems: Problem[] = rows.flatMap(({ predictionId, reward, observedAtMs }, index) => [
    ...(predictionId === '' ? [{ path: `/${index}/predictionId`, reason: 'must not be empty' }] : []),
    ...(reward >= 0 && reward <= 1 ? [] : [{ path: `/${index}/reward`, reason: 'must be from 0 to 1' }]),
    ...(Number.isFinite(observedAtMs)
      ? []
      : [{ path: `/${index}/observedAtMs`, reason: 'must be unix milliseconds' }]),
  ]);
  if (problems.length > 0) {
    throw new SlipwayError('INVALID_REQUEST', `${problems.length} rewards are wrong; none was stored`, {
      problems,
    });
  }
}

/**
 * Evidence: what gateways flush and callers label, and the sums that a rollout reads. Rows are the truth; every sum is
 * computed from them, so two readers, or one that starts again, get the same numbers.
 */
import { and, asc, eq, gte, sql } from 'drizzle-orm';
import type { EvidenceStore, Watermark } from '../activities/ports.ts';
import { SlipwayError } from '../domain/errors.ts';
import type { Problem } from '../domain/errors.ts';
import { NO_COUNTS } from '../domain/rollout/evidence.ts';
import type { ArmCounts } from '../domain/rollout/evidence.ts';
import type { GatewayFlush, GuardTrip, LabelRow } from '../domain/rollout/arm-window.ts';
import type { EvidenceSink } from '../serving/ports.ts';
import { appendAudit } from './audit.ts';
import { rowsOf } from './database.ts';
import type { Database, Transaction } from './database.ts';
import { CHANNELS } from './listen.ts';
import type { Notifications } from './notifications.ts';
import { isLive } from './routes.ts';
import { armWindows, gatewayFlushes, guardTrips, labels, predictions } from './schema/evidence.ts';
import { gateways, routeChanges } from './schema/routing.ts';

/** Every row is counted in exactly one of these. */
export interface LabelReceipt {
  /** Stored, and joined to a prediction. */
  readonly accepted: number;
  /** Stored; no prediction of this id has arrived yet, it is joined when one does. */
  readonly unknown: number;
  /** The same label was there already. */
  readonly duplicates: number;
  /** Another label was there already; the first one stands. */
  readonly conflicting: number;
}

export interface LabelSink {
  /** @throws INVALID_REQUEST that names the row */
  addLabels(rows: readonly LabelRow[]): Promise<LabelReceipt>;
}

export function createEvidenceSink(db: Database): EvidenceSink & LabelSink {
  return {
    flush: (flush) => db.transaction((tx) => storeFlush(tx, flush)),
    trip: (trip) => db.transaction((tx) => storeTrip(tx, trip)),
    async addLabels(rows) {
      checkLabels(rows);
      return rows.length === 0
        ? { accepted: 0, unknown: 0, duplicates: 0, conflicting: 0 }
        : db.transaction((tx) => storeLabels(tx, rows));
    },
  };
}

async function storeFlush(tx: Transaction, flush: GatewayFlush): Promise<void> {
  const { gatewayId, bootId, seq } = flush;
  const first = await tx
    .insert(gatewayFlushes)
    .values({ gatewayId, bootId, seq })
    .onConflictDoNothing()
    .returning({ seq: gatewayFlushes.seq });
  if (first.length === 0) return;
  if (flush.windows.length > 0) {
    // One JSON parameter: no limit on the number of rows, and one statement text whatever their number.
    await tx.execute(
      sql`insert into ${armWindows} (endpoint, generation, gateway_id, boot_id, seq, arm, version, start_at, end_at,
          requests, errors, slow, invalid, diverged, pairs, latency_micros)
        select endpoint, generation, ${gatewayId}, ${bootId}, ${seq}, arm, min(version),
          to_timestamp(min("startMs") / 1000.0), to_timestamp(max("endMs") / 1000.0),
          sum(requests), sum(errors), sum(slow), sum(invalid), sum(diverged), sum(pairs), sum("latencyMicros")
        from jsonb_to_recordset(${JSON.stringify(flush.windows)}::jsonb) as w(endpoint text, generation bigint,
          arm text, version text, "startMs" float8, "endMs" float8, requests bigint, errors bigint, slow bigint,
          invalid bigint, diverged bigint, pairs bigint, "latencyMicros" float8)
        group by endpoint, generation, arm`,
    );
  }
  if (flush.predictions.length > 0) {
    await tx.execute(
      sql`insert into ${predictions} (prediction_id, arm, endpoint, generation, version, at, score, decision,
          experiment, propensity, snapshot, context)
        select "predictionId", arm, endpoint, generation, version, to_timestamp("atMs" / 1000.0), score, decision,
          experiment, propensity, snapshot, context
        from jsonb_to_recordset(${JSON.stringify(flush.predictions)}::jsonb) as p("predictionId" text, arm text,
          endpoint text, generation bigint, version text, "atMs" float8, score float8, decision float8, experiment text,
          propensity float8, snapshot int, context jsonb)
        order by "predictionId", arm
        on conflict do nothing`,
    );
  }
  await notifyEndpoints(
    tx,
    [...flush.windows, ...flush.predictions].map(({ endpoint }) => endpoint),
  );
}

async function storeTrip(tx: Transaction, trip: GuardTrip): Promise<void> {
  const { gatewayId, endpoint, generation, version, reason } = trip;
  const first = await tx
    .insert(guardTrips)
    .values({ gatewayId, endpoint, generation, version, reason, at: new Date(trip.atMs) })
    .onConflictDoNothing()
    .returning({ endpoint: guardTrips.endpoint });
  if (first.length === 0) return;
  await appendAudit(tx, {
    stream: endpoint,
    actor: `gateway/${gatewayId}`,
    action: 'guard.trip',
    subject: version,
    detail: { generation, reason },
  });
  await notifyEndpoints(tx, [endpoint]);
}

async function storeLabels(tx: Transaction, rows: readonly LabelRow[]): Promise<LabelReceipt> {
  const given = sql`jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
    as l("predictionId" text, label float8, "observedAtMs" float8)`;
  // In the order of their ids, so that two batches with the same ids never wait for each other.
  const stored = await rowsOf<{ id: string; label: number }>(
    tx,
    sql`insert into ${labels} (prediction_id, label, observed_at)
      select "predictionId", label, to_timestamp("observedAtMs" / 1000.0) from ${given} order by "predictionId"
      on conflict do nothing returning prediction_id as id, label`,
  );
  const [{ conflicting } = { conflicting: 0 }] = await rowsOf<{ conflicting: number }>(
    tx,
    sql`select count(*)::int as conflicting from ${given}
      join ${labels} s on s.prediction_id = l."predictionId" and s.label <> l.label`,
  );
  const joined = await rowsOf<{ endpoint: string; labelled: number }>(
    tx,
    sql`select endpoint, count(distinct prediction_id)::int as labelled from ${predictions}
      where prediction_id in (select jsonb_array_elements_text(${JSON.stringify(stored.map(({ id }) => id))}::jsonb))
      group by endpoint`,
  );
  const accepted = joined.reduce((sum, { labelled }) => sum + labelled, 0);
  await notifyEndpoints(
    tx,
    joined.map(({ endpoint }) => endpoint),
  );
  return {
    accepted,
    unknown: stored.length - accepted,
    duplicates: rows.length - stored.length - conflicting,
    conflicting,
  };
}

function checkLabels(rows: readonly LabelRow[]): void {
  const problems: Problem[] = rows.flatMap(({ predictionId, label, observedAtMs }, index) => [
    ...(predictionId === '' ? [{ path: `/${index}/predictionId`, reason: 'must not be empty' }] : []),
    ...(Number.isFinite(label) ? [] : [{ path: `/${index}/label`, reason: 'must be a number' }]),
    ...(Number.isFinite(observedAtMs)
      ? []
      : [{ path: `/${index}/observedAtMs`, reason: 'must be unix milliseconds' }]),
  ]);
  if (problems.length > 0) {
    throw new SlipwayError('INVALID_REQUEST', `${problems.length} of the labels are wrong; none was stored`, {
      problems,
    });
  }
}

async function notifyEndpoints(tx: Transaction, endpoints: readonly string[]): Promise<void> {
  for (const endpoint of new Set(endpoints)) {
    await tx.execute(sql`select pg_notify(${CHANNELS.evidence}, ${endpoint})`);
  }
}

export function createEvidenceStore(db: Database, notifications: Notifications): EvidenceStore {
  return {
    windows: (query) => db.snapshot((tx) => readWindows(tx, query)),

    async labels({ endpoint, generation }) {
      const rows = await db.read((orm) =>
        rowsOf<{ champion: boolean; labelled: number; wrong: number }>(
          orm,
          // A prediction that failed decided nothing, so no label can say that it was wrong: it counts as an error.
          sql`select arm = 'champion' as champion, count(*)::float8 as labelled,
              (count(*) filter (where p.decision <> l.label))::float8 as wrong
            from ${predictions} p join ${labels} l using (prediction_id)
            where p.endpoint = ${endpoint} and p.generation = ${generation} and p.decision is not null
              and p.experiment is null
            group by 1`,
        ),
      );
      const of = (champion: boolean) => {
        const row = rows.find((one) => one.champion === champion);
        return { labelled: row?.labelled ?? 0, wrong: row?.wrong ?? 0 };
      };
      return { champion: of(true), candidate: of(false) };
    },

    async trip({ endpoint, version, since }) {
      const [row] = await db.read((orm) =>
        orm
          .select()
          .from(guardTrips)
          .where(
            and(
              eq(guardTrips.endpoint, endpoint),
              eq(guardTrips.version, version),
              gte(guardTrips.generation, since),
            ),
          )
          .orderBy(asc(guardTrips.receivedAt))
          .limit(1),
      );
      if (row === undefined) return null;
      const { receivedAt: _receivedAt, at, ...trip } = row;
      return { ...trip, atMs: at.getTime() };
    },

    wait: (endpoint, timeoutMs, signal) => notifications.wait(CHANNELS.evidence, endpoint, timeoutMs, signal),
  };
}

interface WindowSums extends Omit<ArmCounts, 'labelled' | 'wrong'> {
  readonly process: string;
  readonly seq: number;
  readonly champion: boolean;
}

type WindowQuery = Parameters<EvidenceStore['windows']>[0];

async function readWindows(tx: Transaction, { endpoint, generation, after }: WindowQuery) {
  const sums = await rowsOf<WindowSums>(tx, windowSums(endpoint, generation, after));
  const watermark: Record<string, number> = { ...after };
  for (const { process, seq } of sums) watermark[process] = Math.max(watermark[process] ?? seq, seq);
  const [silence] = await rowsOf<{ silentMs: number | null }>(tx, silenceOf(endpoint, generation));
  return {
    watermark,
    champion: total(sums.filter(({ champion }) => champion)),
    candidate: total(sums.filter(({ champion }) => !champion)),
    // GREATEST would turn "nobody was heard" into "heard just now", so a clock that was set back is met here.
    silentMs: typeof silence?.silentMs === 'number' ? Math.max(0, silence.silentMs) : null,
  };
}

/**
 * The rows beyond the watermark, summed per gateway process and arm. The processes are found by hopping from one to
 * the next in the primary key, so a look costs what is new, not what the whole step has collected.
 */
function windowSums(endpoint: string, generation: number, after: Watermark) {
  const here = sql`w.endpoint = ${endpoint} and w.generation = ${generation}`;
  return sql`with recursive processes as (
      (select w.gateway_id, w.boot_id from ${armWindows} w where ${here} order by w.gateway_id, w.boot_id limit 1)
      union all
      select next.gateway_id, next.boot_id from processes p cross join lateral (
        select w.gateway_id, w.boot_id from ${armWindows} w
        where ${here} and (w.gateway_id, w.boot_id) > (p.gateway_id, p.boot_id)
        order by w.gateway_id, w.boot_id limit 1) next
    ),
    marks as (select p.*, coalesce((${JSON.stringify(after)}::jsonb ->> (p.gateway_id || '/' || p.boot_id))::bigint, -1) as seq
      from processes p)
    select m.gateway_id || '/' || m.boot_id as process, max(w.seq)::float8 as seq, w.arm = 'champion' as champion,
      sum(w.requests)::float8 as requests, sum(w.errors)::float8 as errors, sum(w.slow)::float8 as slow,
      sum(w.invalid)::float8 as invalid, sum(w.diverged)::float8 as diverged, sum(w.pairs)::float8 as pairs
    from marks m join ${armWindows} w
      on ${here} and w.gateway_id = m.gateway_id and w.boot_id = m.boot_id and w.seq > m.seq
        and w.arm in ('champion', 'canary', 'shadow')
    group by 1, 3`;
}

/**
 * How long the quietest live gateway has said nothing about this generation. A gateway that has not reported on it yet
 * is counted from when it could have begun to: the route change, or its own start. With no live gateway at all, the
 * newest window that anybody sent counts.
 */
function silenceOf(endpoint: string, generation: number) {
  const newest = sql`select max(w.received_at) from ${armWindows} w
    where w.endpoint = ${endpoint} and w.generation = ${generation}`;
  return sql`with live as (
      select greatest(coalesce((${newest} and w.gateway_id = ${gateways.gatewayId}),
          (select c.at from ${routeChanges} c where c.endpoint = ${endpoint} and c.generation = ${generation})),
        ${gateways.firstSeen}) as heard
      from ${gateways} where ${isLive}
    )
    select (extract(epoch from clock_timestamp() - coalesce((select min(heard) from live), (${newest}))) * 1000)::float8
      as "silentMs"`;
}

function total(sums: readonly WindowSums[]): ArmCounts {
  return sums.reduce<ArmCounts>(
    (all, { requests, errors, slow, invalid, diverged, pairs }) => ({
      ...all,
      requests: all.requests + requests,
      errors: all.errors + errors,
      slow: all.slow + slow,
      invalid: all.invalid + invalid,
      diverged: all.diverged + diverged,
      pairs: all.pairs + pairs,
    }),
    NO_COUNTS,
  );
}

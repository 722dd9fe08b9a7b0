/** Experiments: their beginning and end, and the snapshots by which they go on. */
import { and, asc, desc, eq, gte, sql } from 'drizzle-orm';
import type { ExperimentName, ExperimentStore, OpenExperiment } from '../activities/experiment-ports.ts';
import type { ExperimentReader, StoredExperiment } from '../api/experiment-ports.ts';
import { SlipwayError } from '../domain/errors.ts';
import {
  advanceExperiment,
  clockOf,
  contextualOf,
  EXPERIMENT_OUTCOMES,
  startExperiment,
} from '../domain/experiments/index.ts';
import type { ExperimentPlan, ExperimentSnapshot } from '../domain/experiments/index.ts';
import type { Digest, Route } from '../domain/routing/route.ts';
import type { Allocation } from '../serving/ports.ts';
import { createAliasStore } from './aliases.ts';
import { appendAudit } from './audit.ts';
import { rowsOf } from './database.ts';
import type { Database, Executor, Transaction } from './database.ts';
import { CHANNELS } from './listen.ts';
import { createModelStore } from './models.ts';
import { joinRewards, tallyRewards } from './reward-join.ts';
import { armWindows, guardTrips, predictions } from './schema/evidence.ts';
import { experiments, experimentSnapshots, rewardCounts } from './schema/experiments.ts';
import { routes } from './schema/routing.ts';
import { asStored, storedChoice } from './stored-value.ts';
import { createVersionRegistry, versionNotFound } from './versions.ts';

export interface ExperimentRegistry extends ExperimentStore, ExperimentReader {}

type ExperimentRow = typeof experiments.$inferSelect;
type SnapshotRow = typeof experimentSnapshots.$inferSelect;

export function createExperimentRegistry(db: Database): ExperimentRegistry {
  const models = createModelStore(db);
  return {
    ...createReader(db),

    async planOf({ endpoint, name }) {
      const { manifest } = await models.get(endpoint);
      const plan = manifest.experiments.find((one) => one.name === name);
      if (plan === undefined) throw notDeclared(endpoint, name, manifest.experiments);
      return plan;
    },

    hasBegun: (name) =>
      db.read(async (orm) => (await orm.select().from(experiments).where(isIt(name))).length > 0),

    resolve: (endpoint, reference) => resolve(db, endpoint, reference),
    open: (experiment) => db.transaction((tx) => open(tx, experiment)),
    advance: (name) => db.transaction((tx) => advance(tx, name)),

    async trip({ endpoint, generation }) {
      const [row] = await db.read((orm) =>
        orm
          .select()
          .from(guardTrips)
          .where(and(eq(guardTrips.endpoint, endpoint), gte(guardTrips.generation, generation)))
          .orderBy(asc(guardTrips.receivedAt))
          .limit(1),
      );
      if (row === undefined) return null;
      const { receivedAt: _receivedAt, at, ...trip } = row;
      return { ...trip, atMs: at.getTime() };
    },

    end: ({ endpoint, name, runId, outcome, reason, winner, actor }) =>
      db.transaction(async (tx) => {
        const [ended] = await tx
          .update(experiments)
          .set({ outcome, reason, winner, endedAt: sql`clock_timestamp()` })
          .where(
            and(
              isIt({ endpoint, name }),
              sql`${experiments.outcome} is null`,
              ...(runId === null ? [] : [eq(experiments.runId, runId)]),
            ),
          )
          .returning({ name: experiments.name });
        if (ended === undefined) return;
        const detail = { outcome, reason, winner };
        await appendAudit(tx, { stream: endpoint, actor, action: 'experiment.end', subject: name, detail });
      }),
  };
}

function createReader(db: Database): ExperimentReader {
  return {
    async list(endpoint) {
      const rows = await db.read((orm) =>
        orm
          .select()
          .from(experiments)
          .where(endpoint === undefined ? undefined : eq(experiments.endpoint, endpoint))
          .orderBy(desc(experiments.startedAt)),
      );
      return rows.map(toExperiment);
    },

    get: (name) =>
      db.read(async (orm) => {
        const [row] = await orm.select().from(experiments).where(isIt(name));
        if (row === undefined) throw notFound(name);
        return toExperiment(row);
      }),

    async snapshots({ endpoint, name }, limit) {
      const rows = await db.read((orm) =>
        orm
          .select()
          .from(experimentSnapshots)
          .where(and(eq(experimentSnapshots.endpoint, endpoint), eq(experimentSnapshots.experiment, name)))
          .orderBy(desc(experimentSnapshots.version))
          .limit(limit),
      );
      return rows.map(toSnapshot);
    },

    tally: (experiment) => db.read((orm) => tallyRewards(orm, experiment)),

    async decisionsBySnapshot({ endpoint, name, plan }) {
      const rows = await db.read((orm) =>
        rowsOf<{ sharesBp: number[]; snapshot: number; arm: string; decisions: number }>(
          orm,
          sql`select s.shares_bp as "sharesBp", p.snapshot, p.arm, count(*)::float8 as decisions
            from ${predictions} p join ${experimentSnapshots} s
              on s.endpoint = p.endpoint and s.experiment = p.experiment and s.version = p.snapshot
            where p.endpoint = ${endpoint} and p.experiment = ${name}
            group by s.shares_bp, p.snapshot, p.arm`,
        ),
      );
      const segments = new Map<number, { sharesBp: readonly number[]; decisions: number[] }>();
      for (const { sharesBp, snapshot, arm, decisions } of rows) {
        const segment = segments.get(snapshot) ?? { sharesBp, decisions: plan.arms.map(() => 0) };
        segments.set(snapshot, segment);
        const index = plan.arms.findIndex((one) => arm === `exp:${one.name}`);
        if (index >= 0) segment.decisions[index] = decisions;
      }
      return [...segments.values()];
    },

    async logged({ endpoint, name, plan }, limit) {
      const rows = await db.read((orm) =>
        rowsOf<{ arm: string; propensity: number; reward: number; context: number[] | null }>(
          orm,
          sql`select p.arm, p.propensity, c.reward, p.context
            from ${predictions} p join ${rewardCounts} c using (prediction_id)
            where p.endpoint = ${endpoint} and p.experiment = ${name} and c.verdict = 'counted'
            order by p.at desc limit ${limit}`,
        ),
      );
      return rows.flatMap(({ arm, propensity, reward, context }) => {
        const index = plan.arms.findIndex((one) => arm === `exp:${one.name}`);
        return index < 0
          ? []
          : [{ arm: index, propensity, reward, ...(context === null ? {} : { context }) }];
      });
    },
  };
}

async function resolve(db: Database, endpoint: string, reference: string): Promise<Digest> {
  const alias = (await createAliasStore(db).list(endpoint)).find(({ name }) => name === reference);
  if (alias === undefined && !/^(sha256:)?[0-9a-f]{12,64}$/.test(reference)) throw versionNotFound(reference);
  const { version, revoked } = await createVersionRegistry(db).find(alias?.digest ?? reference);
  if (version.model !== endpoint) {
    throw new SlipwayError(
      'INVALID_REQUEST',
      `${reference} is a version of ${version.model}, not ${endpoint}`,
    );
  }
  if (revoked) throw new SlipwayError('VERSION_REVOKED', `${version.digest} has been revoked`);
  return version.digest;
}

async function open(
  tx: Transaction,
  { endpoint, name, plan, arms, generation, runId, actor }: OpenExperiment,
): Promise<ExperimentSnapshot> {
  const [opened] = await tx
    .insert(experiments)
    .values({
      endpoint,
      name,
      plan: asStored(plan),
      arms: asStored(arms),
      generation,
      runId,
      startedBy: actor,
      startedAt: sql`clock_timestamp()`,
    })
    .onConflictDoNothing()
    .returning();
  if (opened === undefined) {
    const [known] = await tx.select().from(experiments).where(isIt({ endpoint, name }));
    if (known?.runId !== runId) {
      throw new SlipwayError(
        'WRONG_PHASE',
        `experiment ${name} of ${endpoint} has run already; declare it under another name`,
      );
    }
    return newest(tx, { endpoint, name });
  }
  const snapshot = startExperiment(plan, opened.startedAt.getTime());
  // Nobody had traffic before this, so a lease that lapsed while the arms were loaded may begin anew.
  await tx
    .update(routes)
    .set({ leaseUntil: sql`clock_timestamp() + ${plan.leaseMs} * interval '1 millisecond'` })
    .where(
      and(
        eq(routes.endpoint, endpoint),
        eq(routes.generation, generation),
        sql`${routes.experiment} is not null`,
        sql`${routes.leaseUntil} < clock_timestamp() + ${plan.leaseMs} * interval '1 millisecond'`,
      ),
    );
  await insertSnapshot(tx, { endpoint, name }, snapshot, sql`clock_timestamp()`);
  await appendAudit(tx, {
    stream: endpoint,
    actor,
    action: 'experiment.start',
    subject: name,
    detail: asStored({ plan, arms, generation }),
  });
  await tellGateways(tx, endpoint);
  return snapshot;
}

async function advance(tx: Transaction, { endpoint, name }: ExperimentName): Promise<ExperimentSnapshot> {
  // One look after the other; the primary keys hold also without the lock.
  const [row] = await tx.select().from(experiments).where(isIt({ endpoint, name })).for('update');
  if (row === undefined) throw notFound({ endpoint, name });
  if (row.outcome !== null) {
    throw new SlipwayError('WRONG_PHASE', `experiment ${name} of ${endpoint} has ended: ${row.outcome}`);
  }
  const { plan, generation } = row;
  const before = await newest(tx, { endpoint, name });
  const [clock] = await rowsOf<{ now: string; since: string }>(
    tx,
    sql`select clock_timestamp()::text as now, at::text as since from ${experimentSnapshots}
      where endpoint = ${endpoint} and experiment = ${name} and version = ${before.version}`,
  );
  if (clock === undefined) throw notFound({ endpoint, name });
  const version = before.version + 1;
  const joined = await joinRewards(tx, { endpoint, experiment: name, plan, version, since: clock.since });
  const decisions = await countDecisions(tx, endpoint, generation, plan);
  const atMs = Date.parse(clock.now);
  const after = advanceExperiment(plan, before, { atMs, decisions, joined });
  if (after === null) return before;
  await insertSnapshot(tx, { endpoint, name }, after, sql`${clock.now}::timestamptz`);
  const moved = after.sharesBp.some((share, arm) => share !== before.sharesBp[arm]);
  if (moved || (contextualOf(plan, after) !== null && joined.length > 0)) await tellGateways(tx, endpoint);
  return after;
}

async function countDecisions(
  tx: Transaction,
  endpoint: string,
  generation: number,
  { arms }: ExperimentPlan,
): Promise<readonly number[]> {
  const rows = await rowsOf<{ arm: string; requests: number }>(
    tx,
    sql`select arm, sum(requests)::float8 as requests from ${armWindows}
      where endpoint = ${endpoint} and generation = ${generation} and arm like 'exp:%' group by arm`,
  );
  return arms.map(({ name }) => rows.find(({ arm }) => arm === `exp:${name}`)?.requests ?? 0);
}

async function insertSnapshot(
  tx: Transaction,
  { endpoint, name }: ExperimentName,
  snapshot: ExperimentSnapshot,
  at: ReturnType<typeof sql>,
): Promise<void> {
  const { version, sharesBp, state, arms, late, invalid } = snapshot;
  await tx.insert(experimentSnapshots).values({
    endpoint,
    experiment: name,
    version,
    clock: clockOf(snapshot),
    sharesBp,
    state: asStored(state),
    arms: asStored(arms),
    late,
    invalid,
    at,
  });
}

async function newest(executor: Executor, { endpoint, name }: ExperimentName): Promise<ExperimentSnapshot> {
  const [row] = await executor
    .select()
    .from(experimentSnapshots)
    .where(and(eq(experimentSnapshots.endpoint, endpoint), eq(experimentSnapshots.experiment, name)))
    .orderBy(desc(experimentSnapshots.version))
    .limit(1);
  if (row === undefined) throw notFound({ endpoint, name });
  return toSnapshot(row);
}

/** What gateways decide by: the newest snapshot of the experiment that the route has; null until it is open. */
export async function readAllocation(
  executor: Executor,
  { endpoint, generation, experiment }: Route,
): Promise<Allocation | null> {
  if (experiment === null) return null;
  const [row] = await executor
    .select()
    .from(experiments)
    .where(isIt({ endpoint, name: experiment.name }));
  if (row === undefined || row.generation !== generation || row.outcome !== null) return null;
  const snapshot = await newest(executor, row);
  return {
    experiment: row.name,
    version: snapshot.version,
    sharesBp: snapshot.sharesBp,
    contextual: contextualOf(row.plan, snapshot),
  };
}

const tellGateways = (tx: Transaction, endpoint: string) =>
  tx.execute(sql`select pg_notify(${CHANNELS.routes}, ${endpoint})`);

const isIt = ({ endpoint, name }: ExperimentName) =>
  and(eq(experiments.endpoint, endpoint), eq(experiments.name, name));

function notFound({ endpoint, name }: ExperimentName): SlipwayError {
  return new SlipwayError(
    'EXPERIMENT_NOT_FOUND',
    `no experiment ${name} of ${endpoint} has begun; \`slipway experiment list ${endpoint}\` shows those that have`,
  );
}

function notDeclared(endpoint: string, name: string, declared: readonly ExperimentPlan[]): SlipwayError {
  const names = declared.map((plan) => plan.name).join(', ');
  return new SlipwayError(
    'EXPERIMENT_NOT_FOUND',
    `the manifest of ${endpoint} declares no experiment ${name}${names === '' ? '' : `; it declares ${names}`}`,
  );
}

function toExperiment({
  runId: _runId,
  outcome,
  startedAt,
  endedAt,
  ...row
}: ExperimentRow): StoredExperiment {
  return {
    ...row,
    outcome: outcome === null ? null : storedChoice(EXPERIMENT_OUTCOMES, outcome, 'experiments.outcome'),
    startedAtMs: startedAt.getTime(),
    endedAtMs: endedAt?.getTime() ?? null,
  };
}

function toSnapshot({ version, at, sharesBp, state, arms, late, invalid }: SnapshotRow): ExperimentSnapshot {
  return { version, atMs: at.getTime(), sharesBp, state, arms, late, invalid };
}

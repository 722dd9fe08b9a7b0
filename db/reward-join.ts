/**
 * Joins rewards to the decisions of one experiment, each once: the mark is a row whose key is the prediction, inserted
 * in the transaction that writes the snapshot which counts it. One statement, whatever the number of rewards.
 *
 * Either side may arrive first, so a look takes what is new on either side. "New" reaches back beyond the look before,
 * because a transaction that was under way then was not seen by it.
 */
import { sql } from 'drizzle-orm';
import type { SQL } from 'drizzle-orm';
import type { RewardTally } from '../api/experiment-ports.ts';
import type { ExperimentPlan, JoinedGroup } from '../domain/experiments/index.ts';
import { rowsOf } from './database.ts';
import type { Executor, Transaction } from './database.ts';
import { predictions } from './schema/evidence.ts';
import { experimentSnapshots, rewardCounts, rewards } from './schema/experiments.ts';

/** Longer than any statement may take. */
const OVERLAP = sql.raw(`interval '2 minutes'`);

export interface JoinRequest {
  readonly endpoint: string;
  readonly experiment: string;
  readonly plan: ExperimentPlan;
  /** Of the snapshot that will count what is joined. */
  readonly version: number;
  /** The snapshot before it, by the database's clock; ISO 8601. */
  readonly since: string;
}

interface GroupRow extends Omit<JoinedGroup, 'arm'> {
  readonly arm: string;
}

export async function joinRewards(tx: Transaction, request: JoinRequest): Promise<readonly JoinedGroup[]> {
  const { endpoint, experiment, plan, version } = request;
  const groups = await rowsOf<GroupRow>(
    tx,
    sql`with found as (${plan.metric.absent === 'zero' ? closed(request) : arrived(request)}),
      marked as (
        insert into ${rewardCounts} as c
          (prediction_id, endpoint, experiment, snapshot, verdict, arm, decided_by, reward)
        select prediction_id, ${endpoint}, ${experiment}, ${version}, verdict, arm, snapshot, reward from found
        on conflict do nothing returning c.prediction_id, c.arm, c.decided_by, c.reward, c.verdict
      ),
      grouped as (${isContextual(plan) ? withContexts : withoutContexts})
      select g.arm, coalesce(s.clock, 0)::float8 as clock, g.reward, g.verdict, g.context, g.count
      from grouped g left join ${experimentSnapshots} s
        on s.endpoint = ${endpoint} and s.experiment = ${experiment} and s.version = g.decided_by
      order by 2, 1`,
  );
  return groups.flatMap(({ arm, ...group }) => {
    const index = plan.arms.findIndex(({ name }) => arm === `exp:${name}`);
    return index < 0 ? [] : [{ ...group, arm: index }];
  });
}

const isContextual = ({ policy }: ExperimentPlan): boolean =>
  policy.kind === 'bandit' && policy.algorithm === 'linucb';

const withoutContexts = sql`select arm, decided_by, reward, verdict, null::jsonb as context, count(*)::int as count
  from marked group by 1, 2, 3, 4`;
const withContexts = sql`select m.arm, m.decided_by, m.reward, m.verdict, p.context, 1 as count
  from marked m join ${predictions} p using (prediction_id, arm)`;

/** Decisions of this experiment that no look has counted. */
const decisions = ({ endpoint, experiment }: JoinRequest, where: SQL) => sql`
  select p.prediction_id, p.arm, p.snapshot, p.context, p.at from ${predictions} p
  where p.endpoint = ${endpoint} and p.experiment = ${experiment} and ${where}
    and not exists (select 1 from ${rewardCounts} c where c.prediction_id = p.prediction_id)`;

const windowOf = ({ plan }: JoinRequest) => sql`${plan.rewardWindowMs} * interval '1 millisecond'`;

/** A reward that is no value of the metric counts for nothing, and is shown. */
const isInvalid = ({ plan }: JoinRequest) =>
  plan.metric.kind === 'conversion' ? sql`r.reward not in (0, 1)` : sql`false`;

/** Rewards count as they arrive, unless their window was over by then. */
function arrived(request: JoinRequest): SQL {
  const since = sql`${request.since}::timestamptz - ${OVERLAP}`;
  const newRewards = sql`p.prediction_id in (select prediction_id from ${rewards} where received_at > ${since})`;
  return sql`select d.prediction_id, d.arm, d.snapshot, d.context, r.reward,
      case when ${isInvalid(request)} then 'invalid'
        when r.received_at > d.at + ${windowOf(request)} then 'late' else 'counted' end as verdict
    from (${decisions(request, newRewards)} union ${decisions(request, sql`p.received_at > ${since}`)}) d
    join ${rewards} r using (prediction_id)`;
}

/** All outcomes of a decision count when its window closes: what has no reward by then counts as 0. */
function closed(request: JoinRequest): SQL {
  const due = sql`p.at <= clock_timestamp() - ${windowOf(request)}
    and (p.at > ${request.since}::timestamptz - ${windowOf(request)} - ${OVERLAP}
      or p.received_at > ${request.since}::timestamptz - ${OVERLAP})`;
  return sql`select d.prediction_id, d.arm, d.snapshot, d.context,
      case when r.received_at <= d.at + ${windowOf(request)} then r.reward else 0 end as reward,
      case when r.received_at <= d.at + ${windowOf(request)} and ${isInvalid(request)} then 'invalid'
        else 'counted' end as verdict
    from (${decisions(request, due)}) d left join ${rewards} r using (prediction_id)`;
}

export async function tallyRewards(
  orm: Executor,
  {
    endpoint,
    name,
    plan,
  }: { readonly endpoint: string; readonly name: string; readonly plan: ExperimentPlan },
): Promise<RewardTally> {
  const [row] = await rowsOf<RewardTally>(
    orm,
    sql`select count(*)::float8 as received,
        (count(*) filter (where c.verdict = 'counted' and not l.late))::float8 as counted,
        (count(*) filter (where l.late))::float8 as late,
        (count(*) filter (where c.verdict = 'invalid'))::float8 as invalid,
        (count(*) filter (where c.verdict is null and not l.late))::float8 as waiting,
        coalesce(sum(d.duplicate), 0)::float8 as duplicate, coalesce(sum(d.conflicting), 0)::float8 as conflicting
      from ${predictions} p join ${rewards} r using (prediction_id)
      left join ${rewardCounts} c using (prediction_id)
      cross join lateral (select r.received_at > p.at + ${plan.rewardWindowMs} * interval '1 millisecond' as late) l
      left join (select prediction_id, count(*) filter (where conflicting = 0) as duplicate,
          count(*) filter (where conflicting = 1) as conflicting from reward_repeats group by 1) d using (prediction_id)
      where p.endpoint = ${endpoint} and p.experiment = ${name}`,
  );
  const nothing = { received: 0, counted: 0, late: 0, invalid: 0, waiting: 0, duplicate: 0, conflicting: 0 };
  return row ?? nothing;
}

/**
 * Experiments, the snapshots of their policies, and rewards. A reward and the mark that it was counted are two rows, so
 * that both tables are insert-only and "counted once" is a primary key.
 */
import { sql } from 'drizzle-orm';
import {
  check,
  doublePrecision,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
} from 'drizzle-orm/pg-core';
import type { ArmEvidence, ExperimentPlan, PolicyState } from '../../domain/experiments/index.ts';
import type { RouteExperimentArm } from '../../domain/routing/route.ts';
import { counter, instant, writtenAt } from './columns.ts';

/** A name is used once for each endpoint: predictions carry it, and a second run would count the first one's. */
export const experiments = pgTable(
  'experiments',
  {
    endpoint: text('endpoint').notNull(),
    name: text('name').notNull(),
    /** As it was declared when it began. */
    plan: jsonb('plan').$type<ExperimentPlan>().notNull(),
    /** With the versions that the arms stood for when it began. */
    arms: jsonb('arms').$type<readonly RouteExperimentArm[]>().notNull(),
    /** The run of the workflow that owns it: a retry finds its own row, another run is refused. */
    runId: text('run_id').notNull(),
    /** Of the route that has it; the decisions of its arms are counted there. */
    generation: counter('generation').notNull(),
    outcome: text('outcome'),
    reason: text('reason'),
    winner: text('winner'),
    startedBy: text('started_by').notNull(),
    startedAt: writtenAt('started_at'),
    endedAt: instant('ended_at'),
  },
  (table) => [
    primaryKey({ columns: [table.endpoint, table.name] }),
    check(
      'experiments_outcome',
      sql`${table.outcome} in ('winner', 'futility', 'invalid', 'expired', 'stopped', 'interrupted', 'failed')`,
    ),
    check('experiments_ended', sql`num_nulls(${table.outcome}, ${table.reason}, ${table.endedAt}) in (0, 3)`),
  ],
);

/** Insert-only: one row for each look that counted something; the newest is what gateways decide by. */
export const experimentSnapshots = pgTable(
  'experiment_snapshots',
  {
    endpoint: text('endpoint').notNull(),
    experiment: text('experiment').notNull(),
    version: integer('version').notNull(),
    /** Decisions before it. */
    clock: counter('clock').notNull(),
    sharesBp: jsonb('shares_bp').$type<readonly number[]>().notNull(),
    state: jsonb('state').$type<PolicyState>().notNull(),
    arms: jsonb('arms').$type<readonly ArmEvidence[]>().notNull(),
    late: counter('late').notNull(),
    invalid: counter('invalid').notNull(),
    /** When the rows were looked for that it counts. */
    at: instant('at').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.endpoint, table.experiment, table.version] }),
    check('experiment_snapshots_version', sql`${table.version} > 0`),
  ],
);

/** Insert-only. The first reward of a prediction stands; it may arrive before the prediction is stored. */
export const rewards = pgTable(
  'rewards',
  {
    predictionId: text('prediction_id').primaryKey(),
    reward: doublePrecision('reward').notNull(),
    observedAt: instant('observed_at').notNull(),
    receivedAt: writtenAt('received_at'),
  },
  (table) => [
    index('rewards_received').on(table.receivedAt),
    check('rewards_range', sql`${table.reward} between 0 and 1`),
  ],
);

/** Insert-only: rewards of a prediction that had one, for people who look for a double sender. */
export const rewardRepeats = pgTable(
  'reward_repeats',
  {
    id: counter('id').generatedAlwaysAsIdentity().primaryKey(),
    predictionId: text('prediction_id').notNull(),
    reward: doublePrecision('reward').notNull(),
    conflicting: integer('conflicting').notNull(),
    receivedAt: writtenAt('received_at'),
  },
  (table) => [index('reward_repeats_prediction').on(table.predictionId)],
);

/** Insert-only: a decision whose reward (or whose lack of one) has been counted, and by which snapshot. */
export const rewardCounts = pgTable(
  'reward_counts',
  {
    predictionId: text('prediction_id').primaryKey(),
    endpoint: text('endpoint').notNull(),
    experiment: text('experiment').notNull(),
    snapshot: integer('snapshot').notNull(),
    verdict: text('verdict').notNull(),
    arm: text('arm').notNull(),
    /** Snapshot that the decision was made by. */
    decidedBy: integer('decided_by'),
    /** What it counts as; 0 for a decision without a reward, where the metric says so. */
    reward: doublePrecision('reward').notNull(),
  },
  (table) => [check('reward_counts_verdict', sql`${table.verdict} in ('counted', 'late', 'invalid')`)],
);

/**
 * What was measured. Rows are never changed; they may be deleted when their retention ends, which is why these tables
 * refuse updates only.
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
import { counter, digest, instant, writtenAt } from './columns.ts';

/** One row per flush makes a flush exactly-once, whatever it carried. */
export const gatewayFlushes = pgTable(
  'gateway_flushes',
  {
    gatewayId: text('gateway_id').notNull(),
    bootId: text('boot_id').notNull(),
    seq: counter('seq').notNull(),
    receivedAt: writtenAt('received_at'),
  },
  (table) => [primaryKey({ columns: [table.gatewayId, table.bootId, table.seq] })],
);

export const armWindows = pgTable(
  'arm_windows',
  {
    endpoint: text('endpoint').notNull(),
    generation: counter('generation').notNull(),
    gatewayId: text('gateway_id').notNull(),
    bootId: text('boot_id').notNull(),
    seq: counter('seq').notNull(),
    arm: text('arm').notNull(),
    version: digest('version').notNull(),
    startAt: instant('start_at').notNull(),
    endAt: instant('end_at').notNull(),
    requests: counter('requests').notNull(),
    errors: counter('errors').notNull(),
    slow: counter('slow').notNull(),
    invalid: counter('invalid').notNull(),
    diverged: counter('diverged').notNull(),
    pairs: counter('pairs').notNull(),
    latencyMicros: counter('latency_micros').notNull(),
    receivedAt: writtenAt('received_at'),
  },
  (table) => [
    // In the order in which a rollout reads: one generation, then each process from where it stopped.
    primaryKey({
      columns: [table.endpoint, table.generation, table.gatewayId, table.bootId, table.seq, table.arm],
    }),
    // How long a gateway has been silent is asked each second.
    index('arm_windows_newest').on(table.endpoint, table.generation, table.gatewayId, table.receivedAt),
    check(
      'arm_windows_arm',
      sql`${table.arm} in ('champion', 'canary', 'shadow') or ${table.arm} like 'exp:%'`,
    ),
    check(
      'arm_windows_counts',
      sql`least(${table.requests}, ${table.errors}, ${table.slow}, ${table.invalid}, ${table.diverged}, ${table.pairs}, ${table.latencyMicros}) >= 0`,
    ),
  ],
);

export const predictions = pgTable(
  'predictions',
  {
    predictionId: text('prediction_id').notNull(),
    arm: text('arm').notNull(),
    endpoint: text('endpoint').notNull(),
    generation: counter('generation').notNull(),
    version: digest('version').notNull(),
    at: instant('at').notNull(),
    score: doublePrecision('score'),
    decision: doublePrecision('decision'),
    /** These four only of a request that took part in an experiment. */
    experiment: text('experiment'),
    propensity: doublePrecision('propensity'),
    /** Version of the experiment's snapshot that the arm was chosen by. */
    snapshot: integer('snapshot'),
    /** What a contextual policy looked at. */
    context: jsonb('context').$type<readonly number[]>(),
    receivedAt: writtenAt('received_at'),
  },
  (table) => [
    primaryKey({ columns: [table.predictionId, table.arm] }),
    index('predictions_by_generation').on(table.endpoint, table.generation),
    // Rewards are joined by what has arrived since the last look, absent ones by when their window closes.
    index('predictions_of_experiment')
      .on(table.endpoint, table.experiment, table.receivedAt)
      .where(sql`${table.experiment} is not null`),
    index('predictions_by_window')
      .on(table.endpoint, table.experiment, table.at)
      .where(sql`${table.experiment} is not null`),
    check('predictions_experiment', sql`(${table.experiment} is null) = (${table.propensity} is null)`),
    check('predictions_propensity', sql`${table.propensity} > 0 and ${table.propensity} <= 1`),
    check(
      'predictions_arm',
      sql`${table.arm} in ('champion', 'canary', 'shadow') or ${table.arm} like 'exp:%'`,
    ),
  ],
);

/** The first label of a prediction stands. */
export const labels = pgTable('labels', {
  predictionId: text('prediction_id').primaryKey(),
  label: doublePrecision('label').notNull(),
  observedAt: instant('observed_at').notNull(),
  receivedAt: writtenAt('received_at'),
});

/** Insert-only: a gateway took an arm out of traffic by itself. */
export const guardTrips = pgTable(
  'guard_trips',
  {
    gatewayId: text('gateway_id').notNull(),
    endpoint: text('endpoint').notNull(),
    generation: counter('generation').notNull(),
    version: digest('version').notNull(),
    reason: text('reason').notNull(),
    at: instant('at').notNull(),
    receivedAt: writtenAt('received_at'),
  },
  (table) => [primaryKey({ columns: [table.endpoint, table.generation, table.gatewayId, table.version] })],
);

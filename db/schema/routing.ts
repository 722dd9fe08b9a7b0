/** Who serves: the route of each endpoint, its history, and the gateways that apply it. */
import { sql } from 'drizzle-orm';
import { check, index, integer, jsonb, pgTable, primaryKey, text, unique } from 'drizzle-orm/pg-core';
import type { VersionState } from '../../domain/rollout/arm-window.ts';
import type { Digest, Route, RouteChange, RouteExperiment } from '../../domain/routing/route.ts';
import { counter, digest, instant, tstzrange, writtenAt } from './columns.ts';
import { modelVersions } from './registry.ts';

/** The last fencing token that was given out for an endpoint. */
export const endpointEpochs = pgTable('endpoint_epochs', {
  endpoint: text('endpoint').primaryKey(),
  epoch: counter('epoch').notNull(),
});

/** Present route. A trigger refuses what is not the next generation or goes back to a lower epoch. */
export const routes = pgTable(
  'routes',
  {
    endpoint: text('endpoint').primaryKey(),
    generation: counter('generation').notNull(),
    epoch: counter('epoch').notNull(),
    champion: digest('champion')
      .notNull()
      .references(() => modelVersions.digest),
    candidateVersion: digest('candidate_version').references(() => modelVersions.digest),
    candidateWeightBp: integer('candidate_weight_bp'),
    candidateMirrorBp: integer('candidate_mirror_bp'),
    candidateSalt: text('candidate_salt'),
    candidateLeaseMs: integer('candidate_lease_ms'),
    experiment: jsonb('experiment').$type<RouteExperiment>(),
    /** Of the candidate, or of the experiment. */
    leaseUntil: instant('lease_until'),
    standbyVersion: digest('standby_version').references(() => modelVersions.digest),
    standbyUntil: instant('standby_until'),
    releaseId: text('release_id'),
    updatedAt: writtenAt('updated_at'),
  },
  (table) => [
    check(
      'routes_candidate_whole',
      sql`num_nulls(${table.candidateVersion}, ${table.candidateWeightBp}, ${table.candidateMirrorBp}, ${table.candidateSalt}, ${table.candidateLeaseMs}) in (0, 5)`,
    ),
    check('routes_one_trial', sql`${table.candidateVersion} is null or ${table.experiment} is null`),
    check(
      'routes_leased',
      sql`(${table.leaseUntil} is not null) = (${table.candidateVersion} is not null or ${table.experiment} is not null)`,
    ),
    check('routes_experiment_lease', sql`(${table.experiment} ->> 'leaseMs')::float8 > 0`),
    check('routes_standby_whole', sql`num_nulls(${table.standbyVersion}, ${table.standbyUntil}) in (0, 2)`),
    check('routes_weight', sql`${table.candidateWeightBp} between 0 and 10000`),
    check('routes_mirror', sql`${table.candidateMirrorBp} between 0 and 10000`),
    check('routes_lease', sql`${table.candidateLeaseMs} > 0`),
  ],
);

/** Insert-only: every generation of every route, and the key that makes a retried write find its first attempt. */
export const routeChanges = pgTable(
  'route_changes',
  {
    endpoint: text('endpoint').notNull(),
    generation: counter('generation').notNull(),
    epoch: counter('epoch').notNull(),
    key: text('key').notNull(),
    kind: text('kind').notNull(),
    change: jsonb('change').$type<RouteChange>().notNull(),
    before: jsonb('before').$type<Route>(),
    after: jsonb('after').$type<Route>().notNull(),
    actor: text('actor').notNull(),
    reason: text('reason').notNull(),
    releaseId: text('release_id'),
    at: writtenAt('at'),
  },
  (table) => [
    primaryKey({ columns: [table.endpoint, table.generation] }),
    unique('route_changes_key').on(table.key),
    check(
      'route_changes_kind',
      sql`${table.kind} in ('bootstrap', 'prepare', 'shadow', 'canary', 'promote', 'experiment', 'restore', 'rollback')`,
    ),
  ],
);

/**
 * Champions over time. An exclusion constraint allows one per endpoint at any instant; the only update that the
 * trigger lets through closes the open row.
 */
export const productionHistory = pgTable(
  'production_history',
  {
    id: counter('id').generatedAlwaysAsIdentity().primaryKey(),
    endpoint: text('endpoint').notNull(),
    version: digest('version')
      .notNull()
      .references(() => modelVersions.digest),
    generation: counter('generation').notNull(),
    during: tstzrange('during').notNull(),
  },
  (table) => [unique('production_history_generation').on(table.endpoint, table.generation)],
);

/** Gateways that live: each says so every second. */
export const gateways = pgTable('gateways', {
  gatewayId: text('gateway_id').primaryKey(),
  url: text('url').notNull(),
  firstSeen: writtenAt('first_seen'),
  lastSeen: writtenAt('last_seen'),
});

export const acknowledgements = pgTable(
  'acknowledgements',
  {
    gatewayId: text('gateway_id')
      .notNull()
      .references(() => gateways.gatewayId, { onDelete: 'cascade' }),
    endpoint: text('endpoint').notNull(),
    generation: counter('generation').notNull(),
    versions: jsonb('versions').$type<Readonly<Record<Digest, VersionState>>>().notNull(),
    at: writtenAt('at'),
  },
  (table) => [
    primaryKey({ columns: [table.gatewayId, table.endpoint] }),
    index('acknowledgements_by_endpoint').on(table.endpoint),
  ],
);

/** The online feature store: the newest values of each entity, and which entities gateways are asked about most. */
import { sql } from 'drizzle-orm';
import { check, index, jsonb, pgTable, primaryKey, real, text } from 'drizzle-orm/pg-core';
import { instant, writtenAt } from './columns.ts';

/**
 * One row for each view and entity, whatever the number of features: a request needs one row of each view, and a row
 * that is replaced whole is never half of one moment and half of another.
 */
export const onlineFeatures = pgTable(
  'online_features',
  {
    view: text('view').notNull(),
    entityKey: text('entity_key').notNull(),
    /** Feature → number, or null where it is known that there is none. */
    values: jsonb('values').$type<Readonly<Record<string, number | null>>>().notNull(),
    eventAt: instant('event_at').notNull(),
    writtenAt: writtenAt('written_at'),
  },
  (table) => [
    primaryKey({ columns: [table.view, table.entityKey] }),
    check('online_features_values', sql`jsonb_typeof(${table.values}) = 'object'`),
  ],
);

/** How often each entity was asked about lately, as gateways say now and then; a start warms its cache by it. */
export const onlineFeatureHeat = pgTable(
  'online_feature_heat',
  {
    view: text('view').notNull(),
    entityKey: text('entity_key').notNull(),
    heat: real('heat').notNull(),
    notedAt: writtenAt('noted_at'),
  },
  (table) => [
    primaryKey({ columns: [table.view, table.entityKey] }),
    index('online_feature_heat_hottest').on(table.view, table.heat.desc()),
    check('online_feature_heat_positive', sql`${table.heat} >= 0`),
  ],
);

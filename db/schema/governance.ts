/** Who did what, as a hash chain per stream, and who may do anything at all. */
import { sql } from 'drizzle-orm';
import { check, index, jsonb, pgTable, primaryKey, text, unique } from 'drizzle-orm/pg-core';
import type { DsseEnvelope } from '../../domain/registry/dsse.ts';
import type { JsonValue } from '../../domain/registry/canonical-json.ts';
import { counter, digest, instant, writtenAt } from './columns.ts';

/** One row per stream, locked by whoever appends: so each stream has one order. */
export const auditHeads = pgTable('audit_heads', {
  stream: text('stream').primaryKey(),
  seq: counter('seq').notNull(),
  hash: digest('hash').notNull(),
});

/** Insert-only. `hash` covers every other column and the hash of the row before. */
export const auditLog = pgTable(
  'audit_log',
  {
    stream: text('stream').notNull(),
    seq: counter('seq').notNull(),
    prevHash: digest('prev_hash').notNull(),
    hash: digest('hash').notNull(),
    actor: text('actor').notNull(),
    action: text('action').notNull(),
    subject: text('subject').notNull(),
    detail: jsonb('detail').$type<JsonValue>().notNull(),
    /** In whole milliseconds, so that it comes back exactly as it was hashed. */
    at: instant('at').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.stream, table.seq] }),
    unique('audit_log_hash').on(table.hash),
    index('audit_log_newest').on(table.at),
    check('audit_log_seq', sql`${table.seq} > 0`),
  ],
);

/** Insert-only: the size and head of a stream, signed; so that a cut-off end is found even when the head was cut too. */
export const auditCheckpoints = pgTable(
  'audit_checkpoints',
  {
    stream: text('stream').notNull(),
    size: counter('size').notNull(),
    head: digest('head').notNull(),
    at: instant('at').notNull(),
    envelope: jsonb('envelope').$type<DsseEnvelope>().notNull(),
  },
  (table) => [primaryKey({ columns: [table.stream, table.size] })],
);

/** Only the SHA-256 of a token is kept. */
export const apiTokens = pgTable(
  'api_tokens',
  {
    tokenDigest: digest('token_digest').primaryKey(),
    actor: text('actor').notNull(),
    role: text('role').notNull(),
    createdAt: writtenAt('created_at'),
  },
  (table) => [
    check(
      'api_tokens_role',
      sql`${table.role} in ('viewer', 'engineer', 'approver', 'operator', 'admin', 'service')`,
    ),
  ],
);

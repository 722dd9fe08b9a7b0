/** What may be served: models, their manifests, immutable versions, who approved them and what was revoked. */
import { sql } from 'drizzle-orm';
import {
  boolean,
  check,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  unique,
} from 'drizzle-orm/pg-core';
import type { StoredManifest } from '../../domain/manifest/serving-spec.ts';
import type { FileEntry, Lineage, TensorSignature } from '../../domain/registry/model-version.ts';
import type { DsseEnvelope, SigstoreBundle } from '../../domain/registry/dsse.ts';
import { counter, digest, instant, writtenAt } from './columns.ts';

/** Insert-only: every manifest that was ever applied, by the digest of its canonical JSON. */
export const modelManifests = pgTable(
  'model_manifests',
  {
    digest: digest('digest').primaryKey(),
    model: text('model').notNull(),
    manifest: jsonb('manifest').$type<StoredManifest>().notNull(),
    appliedBy: text('applied_by').notNull(),
    appliedAt: writtenAt('applied_at'),
  },
  (table) => [index('model_manifests_by_model').on(table.model, table.appliedAt)],
);

export const models = pgTable('models', {
  name: text('name').primaryKey(),
  manifestDigest: digest('manifest_digest')
    .notNull()
    .references(() => modelManifests.digest),
  createdAt: writtenAt('created_at'),
  updatedAt: writtenAt('updated_at'),
});

/** Insert-only. The digest is the identity; the number is a label for people. */
export const modelVersions = pgTable(
  'model_versions',
  {
    digest: digest('digest').primaryKey(),
    model: text('model')
      .notNull()
      .references(() => models.name),
    number: integer('number').notNull(),
    files: jsonb('files').$type<readonly FileEntry[]>().notNull(),
    tensors: jsonb('tensors').$type<TensorSignature>().notNull(),
    bundle: jsonb('bundle').$type<SigstoreBundle>().notNull(),
    lineage: jsonb('lineage').$type<Lineage>().notNull(),
    createdAt: instant('created_at').notNull(),
    registeredBy: text('registered_by').notNull(),
    registeredAt: writtenAt('registered_at'),
  },
  (table) => [
    unique('model_versions_number').on(table.model, table.number),
    check('model_versions_number_positive', sql`${table.number} > 0`),
  ],
);

/** Names for versions, moved by compare-and-set on `generation`. */
export const aliases = pgTable(
  'aliases',
  {
    model: text('model')
      .notNull()
      .references(() => models.name),
    name: text('name').notNull(),
    digest: digest('digest')
      .notNull()
      .references(() => modelVersions.digest),
    generation: counter('generation').notNull(),
    updatedAt: writtenAt('updated_at'),
  },
  (table) => [primaryKey({ columns: [table.model, table.name] })],
);

/** Insert-only. One decision of one person on one scope: these bytes, this policy, this evidence. */
export const approvals = pgTable(
  'approvals',
  {
    id: counter('id').generatedAlwaysAsIdentity().primaryKey(),
    model: text('model').notNull(),
    subjectDigest: digest('subject_digest')
      .notNull()
      .references(() => modelVersions.digest),
    policyDigest: digest('policy_digest').notNull(),
    evidenceDigest: digest('evidence_digest').notNull(),
    decision: text('decision').notNull(),
    approver: text('approver').notNull(),
    comment: text('comment').notNull(),
    decidedAt: instant('decided_at').notNull(),
    expiresAt: instant('expires_at').notNull(),
    requiredApprovals: integer('required_approvals').notNull(),
    envelope: jsonb('envelope').$type<DsseEnvelope>().notNull(),
    recordedAt: writtenAt('recorded_at'),
  },
  (table) => [
    unique('approvals_one_per_person').on(
      table.subjectDigest,
      table.policyDigest,
      table.evidenceDigest,
      table.approver,
    ),
    check('approvals_decision', sql`${table.decision} in ('approved', 'rejected')`),
    check('approvals_required', sql`${table.requiredApprovals} > 0`),
  ],
);

/** Insert-only: a revocation is never taken back; what should serve again is signed again. */
export const revocations = pgTable(
  'revocations',
  {
    kind: text('kind').notNull(),
    /** Digest of a version, or id of a key. */
    subject: text('subject').notNull(),
    reason: text('reason').notNull(),
    actor: text('actor').notNull(),
    at: writtenAt('at'),
  },
  (table) => [
    primaryKey({ columns: [table.kind, table.subject] }),
    check('revocations_kind', sql`${table.kind} in ('version', 'key')`),
  ],
);

/** Insert-only: what a training job gave, by the digest of everything that went in. */
export const trainingResults = pgTable('training_results', {
  jobDigest: digest('job_digest').primaryKey(),
  files: jsonb('files').$type<readonly FileEntry[]>().notNull(),
  savedAt: writtenAt('saved_at'),
});

export const releases = pgTable(
  'releases',
  {
    id: text('id').primaryKey(),
    model: text('model')
      .notNull()
      .references(() => models.name),
    number: integer('number').notNull(),
    endpoint: text('endpoint').notNull(),
    manifestDigest: digest('manifest_digest')
      .notNull()
      .references(() => modelManifests.digest),
    parameters: jsonb('parameters').$type<Readonly<Record<string, unknown>>>().notNull(),
    skipShadow: boolean('skip_shadow').notNull(),
    submittedBy: text('submitted_by').notNull(),
    /** Of the caller: the same request sent twice makes one release. */
    requestKey: text('request_key'),
    phase: text('phase').notNull(),
    outcome: text('outcome'),
    reason: text('reason'),
    candidate: digest('candidate'),
    bootstrap: boolean('bootstrap').notNull(),
    /** Champion when the release was opened; null before that and for a bootstrap. */
    champion: digest('champion'),
    openedAt: instant('opened_at'),
    createdAt: writtenAt('created_at'),
    updatedAt: writtenAt('updated_at'),
  },
  (table) => [
    unique('releases_number').on(table.model, table.number),
    unique('releases_request').on(table.model, table.requestKey),
    index('releases_newest').on(table.createdAt),
    check(
      'releases_phase',
      sql`${table.phase} in ('snapshot', 'train', 'validate', 'register', 'approve', 'shadow', 'canary', 'promote', 'done')`,
    ),
    check(
      'releases_outcome',
      sql`${table.outcome} in ('promoted', 'denied', 'rejected', 'rolled_back', 'aborted', 'failed')`,
    ),
  ],
);

/** Insert-only: the timeline of a release. */
export const releaseEvents = pgTable(
  'release_events',
  {
    id: counter('id').generatedAlwaysAsIdentity().primaryKey(),
    releaseId: text('release_id')
      .notNull()
      .references(() => releases.id),
    key: text('key').notNull(),
    phase: text('phase').notNull(),
    message: text('message').notNull(),
    detail: jsonb('detail').$type<Readonly<Record<string, unknown>>>().notNull(),
    at: writtenAt('at'),
  },
  (table) => [unique('release_events_key').on(table.releaseId, table.key)],
);

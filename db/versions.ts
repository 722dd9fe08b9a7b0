/** Model versions: registering, approving, revoking, and what a gateway needs to load them. */
import { and, asc, desc, eq, like, sql } from 'drizzle-orm';
import type { VersionStore } from '../activities/ports.ts';
import { SlipwayError } from '../domain/errors.ts';
import type { Approval, ModelVersion, VersionDescriptor } from '../domain/registry/index.ts';
import { isDigest } from '../domain/registry/index.ts';
import type { Digest } from '../domain/routing/route.ts';
import { scopeToServe } from './approval-scope.ts';
import { appendAudit, SYSTEM_STREAM } from './audit.ts';
import type { Database, Executor, Transaction } from './database.ts';
import { CHANNELS } from './listen.ts';
import { modelNotFound } from './models.ts';
import { approvals, models, modelVersions, revocations } from './schema/registry.ts';
import { asStored, storedChoice } from './stored-value.ts';

export interface RegisteredVersion {
  readonly version: ModelVersion;
  /** 1, 2, 3 … within the model. */
  readonly number: number;
  readonly registeredBy: string;
  readonly registeredAtMs: number;
  readonly revoked: boolean;
}

export interface Revocation {
  readonly kind: 'version' | 'key';
  /** Digest of the version, or id of the key. */
  readonly subject: string;
  readonly reason: string;
  readonly actor: string;
}

export interface VersionRegistry extends VersionStore {
  /** Newest first. */
  list(model: string): Promise<readonly RegisteredVersion[]>;
  /** By digest, by at least 8 hex characters of it, or by `<model>/<number>`. @throws VERSION_NOT_FOUND, INVALID_REQUEST */
  find(reference: string): Promise<RegisteredVersion>;
  approvals(digest: Digest): Promise<readonly Approval[]>;
  /** For good. The gateways are told at once; the same subject again is a no-op. */
  revoke(revocation: Revocation): Promise<void>;
}

type VersionRow = typeof modelVersions.$inferSelect;

export function createVersionRegistry(db: Database): VersionRegistry {
  return {
    register: (version, actor) => db.transaction((tx) => register(tx, version, actor)),
    get: (digest) => db.read(async (orm) => toVersion(await versionRow(orm, digest))),
    describe: (digest) => db.snapshot((tx) => describeVersion(tx, digest)),
    recordApproval: (approval) => db.transaction((tx) => recordApproval(tx, approval)),
    isRevoked: (digest) => db.read((orm) => isRevoked(orm, digest)),
    approvals: (digest) => db.read((orm) => approvalsOf(orm, digest)),
    revoke: (revocation) => db.transaction((tx) => revoke(tx, revocation)),
    async list(model) {
      const rows = await db.read((orm) =>
        selectRegistered(orm).where(eq(modelVersions.model, model)).orderBy(desc(modelVersions.number)),
      );
      return rows.map(toRegistered);
    },
    async find(reference) {
      const rows = await db.read((orm) => selectRegistered(orm).where(matching(reference)).limit(2));
      const [row, another] = rows;
      if (row === undefined) throw versionNotFound(reference);
      if (another !== undefined) {
        throw new SlipwayError(
          'INVALID_REQUEST',
          `${reference} fits more than one version; give more characters`,
        );
      }
      return toRegistered(row);
    },
  };
}

async function register(tx: Transaction, version: ModelVersion, actor: string): Promise<ModelVersion> {
  const { digest, model, files, signature, bundle, lineage } = version;
  // The lock on the model's row gives out one number after the other.
  const [owner] = await tx
    .select({ name: models.name })
    .from(models)
    .where(eq(models.name, model))
    .for('update');
  if (owner === undefined) throw modelNotFound(model);
  const [stored] = await tx.select().from(modelVersions).where(eq(modelVersions.digest, digest));
  if (stored !== undefined) {
    if (stored.model !== model) {
      throw new SlipwayError('DIGEST_CONFLICT', `${digest} is already a version of model ${stored.model}`);
    }
    return toVersion(stored);
  }
  const number = sql<number>`(select coalesce(max(number), 0) + 1 from ${modelVersions} where model = ${model})`;
  const [inserted] = await tx
    .insert(modelVersions)
    .values({
      digest,
      model,
      number,
      files: asStored(files),
      tensors: asStored(signature),
      bundle: asStored(bundle),
      lineage: asStored(lineage),
      createdAt: new Date(version.createdAt),
      registeredBy: actor,
    })
    .returning();
  if (inserted === undefined) throw versionNotFound(digest);
  await appendAudit(tx, {
    stream: model,
    actor,
    action: 'version.register',
    subject: digest,
    detail: { number: inserted.number, lineage },
  });
  return toVersion(inserted);
}

async function recordApproval(tx: Transaction, approval: Approval): Promise<void> {
  const { subjectDigest, policyDigest, evidenceDigest, approver, decision } = approval;
  const version = await versionRow(tx, subjectDigest);
  if (version.model !== approval.model) {
    throw new SlipwayError(
      'INVALID_REQUEST',
      `${subjectDigest} is a version of ${version.model}, not ${approval.model}`,
    );
  }
  const [inserted] = await tx
    .insert(approvals)
    .values({ ...approval, decidedAt: new Date(approval.decidedAt), expiresAt: new Date(approval.expiresAt) })
    .onConflictDoNothing()
    .returning({ id: approvals.id });
  if (inserted === undefined) {
    const kept = (await approvalsOf(tx, subjectDigest)).find(
      (other) =>
        other.policyDigest === policyDigest &&
        other.evidenceDigest === evidenceDigest &&
        other.approver === approver,
    );
    if (kept?.decision === decision) return;
    throw new SlipwayError('ALREADY_DECIDED', `${approver} has already decided on ${subjectDigest}`);
  }
  const { envelope: _signed, ...detail } = approval;
  await appendAudit(tx, {
    stream: approval.model,
    actor: approver,
    action: `version.${decision === 'approved' ? 'approve' : 'reject'}`,
    subject: subjectDigest,
    detail,
  });
}

async function revoke(tx: Transaction, { kind, subject, reason, actor }: Revocation): Promise<void> {
  const stream = kind === 'version' ? (await versionRow(tx, subject)).model : SYSTEM_STREAM;
  const [inserted] = await tx
    .insert(revocations)
    .values({ kind, subject, reason, actor })
    .onConflictDoNothing()
    .returning({ subject: revocations.subject });
  if (inserted === undefined) return;
  await appendAudit(tx, { stream, actor, action: `${kind}.revoke`, subject, detail: { reason } });
  await tx.execute(sql`select pg_notify(${CHANNELS.routes}, '*')`);
}

async function isRevoked(executor: Executor, digest: Digest): Promise<boolean> {
  const rows = await executor
    .select({ subject: revocations.subject })
    .from(revocations)
    .where(and(eq(revocations.kind, 'version'), eq(revocations.subject, digest)));
  return rows.length > 0;
}

export async function describeVersion(executor: Executor, digest: Digest): Promise<VersionDescriptor> {
  const { model, files, tensors, bundle } = await versionRow(executor, digest);
  return { digest, model, files, tensors, bundle, ...scopeToServe(await approvalsOf(executor, digest)) };
}

async function approvalsOf(executor: Executor, digest: Digest): Promise<readonly Approval[]> {
  const rows = await executor
    .select()
    .from(approvals)
    .where(eq(approvals.subjectDigest, digest))
    .orderBy(asc(approvals.id));
  return rows.map(({ id: _id, recordedAt: _recordedAt, ...row }) => ({
    ...row,
    decision: storedChoice(['approved', 'rejected'], row.decision, 'approvals.decision'),
    decidedAt: row.decidedAt.toISOString(),
    expiresAt: row.expiresAt.toISOString(),
  }));
}

/** @throws VERSION_NOT_FOUND */
export async function versionRow(executor: Executor, digest: Digest): Promise<VersionRow> {
  const [row] = await executor.select().from(modelVersions).where(eq(modelVersions.digest, digest));
  if (row === undefined) throw versionNotFound(digest);
  return row;
}

export function versionNotFound(reference: string): SlipwayError {
  return new SlipwayError(
    'VERSION_NOT_FOUND',
    `there is no model version ${reference}; \`slipway versions\` lists them`,
  );
}

const selectRegistered = (orm: Executor) =>
  orm
    .select({ version: modelVersions, revoked: sql<boolean>`${revocations.subject} is not null` })
    .from(modelVersions)
    .leftJoin(
      revocations,
      and(eq(revocations.kind, 'version'), eq(revocations.subject, modelVersions.digest)),
    );

function matching(reference: string) {
  if (isDigest(reference)) return eq(modelVersions.digest, reference);
  const hex = /^(?:sha256:)?([0-9a-f]{8,64})$/.exec(reference)?.[1];
  if (hex !== undefined) return like(modelVersions.digest, `sha256:${hex}%`);
  const [, model, number] = /^(.+)\/(\d{1,9})$/.exec(reference) ?? [];
  if (model === undefined || number === undefined) throw versionNotFound(reference);
  return and(eq(modelVersions.model, model), eq(modelVersions.number, Number(number)));
}

function toRegistered({ version, revoked }: { version: VersionRow; revoked: boolean }): RegisteredVersion {
  return {
    version: toVersion(version),
    number: version.number,
    registeredBy: version.registeredBy,
    registeredAtMs: version.registeredAt.getTime(),
    revoked,
  };
}

function toVersion({ digest, model, files, tensors, bundle, lineage, createdAt }: VersionRow): ModelVersion {
  return { digest, model, files, signature: tensors, bundle, lineage, createdAt: createdAt.toISOString() };
}

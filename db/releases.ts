/** Releases and their timelines. */
import { and, asc, desc, eq, sql } from 'drizzle-orm';
import type { ReleaseStore } from '../activities/ports.ts';
import { SlipwayError } from '../domain/errors.ts';
import { RELEASE_OUTCOMES, RELEASE_PHASES } from '../domain/release/release.ts';
import type { OpenedRelease, Release, ReleaseParameters } from '../domain/release/release.ts';
import { completeManifest } from '../domain/manifest/serving-spec.ts';
import { appendAudit } from './audit.ts';
import type { Database, Executor, Transaction } from './database.ts';
import { policyDigest } from './digests.ts';
import { modelNotFound } from './models.ts';
import { modelManifests, models, releaseEvents, releases } from './schema/registry.ts';
import { routes } from './schema/routing.ts';
import { asStored, storedChoice } from './stored-value.ts';

export interface ReleaseRequest {
  readonly model: string;
  readonly parameters: ReleaseParameters;
  readonly skipShadow: boolean;
  readonly submittedBy: string;
  /** Of the caller (an `Idempotency-Key`): the same request again gives the release that it made. */
  readonly requestKey?: string;
}

export interface ReleaseRegistry extends ReleaseStore {
  /** @throws MODEL_NOT_FOUND; INVALID_REQUEST when the key was used for another request */
  create(request: ReleaseRequest): Promise<Release>;
  /** Newest first. */
  list(query: { readonly model?: string; readonly limit: number }): Promise<readonly Release[]>;
}

type ReleaseRow = typeof releases.$inferSelect;
type Entry = Parameters<ReleaseStore['record']>[0];

export function createReleaseRegistry(db: Database): ReleaseRegistry {
  return {
    create: (request) => db.transaction((tx) => create(tx, request)),
    open: (releaseId) => db.transaction((tx) => open(tx, releaseId)),
    record: (entry) => db.transaction((tx) => record(tx, entry)),
    async get(releaseId) {
      const [row] = await db.read((orm) => orm.select().from(releases).where(eq(releases.id, releaseId)));
      if (row === undefined) throw releaseNotFound(releaseId);
      return toRelease(row);
    },
    async list({ model, limit }) {
      const rows = await db.read((orm) =>
        orm
          .select()
          .from(releases)
          .where(model === undefined ? undefined : eq(releases.model, model))
          .orderBy(desc(releases.createdAt), desc(releases.number))
          .limit(limit),
      );
      return rows.map(toRelease);
    },
    async timeline(releaseId) {
      const rows = await db.read((orm) =>
        orm
          .select()
          .from(releaseEvents)
          .where(eq(releaseEvents.releaseId, releaseId))
          .orderBy(asc(releaseEvents.id)),
      );
      return rows.map(({ at, phase, message, detail }) => ({
        atMs: at.getTime(),
        phase: storedChoice(RELEASE_PHASES, phase, 'release_events.phase'),
        message,
        detail,
      }));
    },
  };
}

async function create(tx: Transaction, request: ReleaseRequest): Promise<Release> {
  const { model, skipShadow, submittedBy } = request;
  const requestKey = request.requestKey ?? null;
  const parameters = asStored(request.parameters);
  // The lock on the model's row gives out one number after the other and keeps its manifest in place meanwhile.
  const [owner] = await tx.select().from(models).where(eq(models.name, model)).for('update');
  if (owner === undefined) throw modelNotFound(model);
  if (requestKey !== null) {
    const [earlier] = await tx
      .select({
        release: releases,
        same: sql<boolean>`${releases.parameters} = ${JSON.stringify(parameters)}::jsonb`,
      })
      .from(releases)
      .where(and(eq(releases.model, model), eq(releases.requestKey, requestKey)));
    if (earlier !== undefined) {
      const { release, same } = earlier;
      if (same && release.skipShadow === skipShadow && release.submittedBy === submittedBy)
        return toRelease(release);
      throw new SlipwayError(
        'INVALID_REQUEST',
        `the request key ${requestKey} was used for another release; use a new one`,
      );
    }
  }
  const [last] = await tx
    .select({ number: releases.number })
    .from(releases)
    .where(eq(releases.model, model))
    .orderBy(desc(releases.number))
    .limit(1);
  const number = (last?.number ?? 0) + 1;
  const id = `${model}/${number}`;
  const { manifestDigest } = owner;
  const bootstrap = (await championOf(tx, model)) === null;
  const [row] = await tx
    .insert(releases)
    .values({
      id,
      model,
      number,
      endpoint: model,
      manifestDigest,
      parameters,
      skipShadow,
      submittedBy,
      requestKey,
      phase: 'snapshot',
      bootstrap,
    })
    .returning();
  if (row === undefined) throw releaseNotFound(id);
  await appendAudit(tx, {
    stream: model,
    actor: submittedBy,
    action: 'release.create',
    subject: id,
    detail: { manifestDigest, parameters, skipShadow },
  });
  return toRelease(row);
}

/** The first opening binds; later ones (a retry, a reset workflow) give the same binding. */
async function open(tx: Transaction, releaseId: string): Promise<OpenedRelease> {
  const release = await lockRelease(tx, releaseId);
  const [stored] = await tx
    .select({ manifest: modelManifests.manifest })
    .from(modelManifests)
    .where(eq(modelManifests.digest, release.manifestDigest));
  if (stored === undefined) throw modelNotFound(release.model);
  let champion = release.champion;
  if (release.openedAt === null) {
    champion = await championOf(tx, release.endpoint);
    await tx
      .update(releases)
      .set({ champion, bootstrap: champion === null, openedAt: sql`clock_timestamp()` })
      .where(eq(releases.id, releaseId));
    await appendAudit(tx, {
      stream: release.model,
      actor: `release/${releaseId}`,
      action: 'release.open',
      subject: releaseId,
      detail: { champion },
    });
  }
  const manifest = completeManifest(stored.manifest);
  return { manifest, manifestDigest: release.manifestDigest, policyDigest: policyDigest(manifest), champion };
}

async function record(tx: Transaction, entry: Entry): Promise<void> {
  const { releaseId, key, phase, message, candidate, outcome, reason } = entry;
  const release = await lockRelease(tx, releaseId);
  const detail = asStored(entry.detail ?? {});
  const [inserted] = await tx
    .insert(releaseEvents)
    // The clock and not the transaction's start, which may lie before an event that was recorded meanwhile.
    .values({ releaseId, key, phase, message, detail, at: sql`clock_timestamp()` })
    .onConflictDoNothing()
    .returning({ id: releaseEvents.id });
  if (inserted === undefined) return;
  const changes = {
    phase,
    ...(candidate === undefined ? {} : { candidate }),
    ...(outcome === undefined ? {} : { outcome }),
    ...(reason === undefined ? {} : { reason }),
  };
  await tx
    .update(releases)
    .set({ ...changes, updatedAt: sql`clock_timestamp()` })
    .where(eq(releases.id, releaseId));
  await appendAudit(tx, {
    stream: release.model,
    actor: `release/${releaseId}`,
    action: 'release.record',
    subject: releaseId,
    detail: { key, message, ...changes },
  });
}

async function lockRelease(tx: Transaction, releaseId: string): Promise<ReleaseRow> {
  const [row] = await tx.select().from(releases).where(eq(releases.id, releaseId)).for('update');
  if (row === undefined) throw releaseNotFound(releaseId);
  return row;
}

async function championOf(executor: Executor, endpoint: string): Promise<string | null> {
  const [row] = await executor
    .select({ champion: routes.champion })
    .from(routes)
    .where(eq(routes.endpoint, endpoint));
  return row?.champion ?? null;
}

function releaseNotFound(releaseId: string): SlipwayError {
  return new SlipwayError(
    'RELEASE_NOT_FOUND',
    `there is no release ${releaseId}; \`slipway status\` lists them`,
  );
}

function toRelease(row: ReleaseRow): Release {
  return {
    id: row.id,
    model: row.model,
    endpoint: row.endpoint,
    manifestDigest: row.manifestDigest,
    parameters: row.parameters as ReleaseParameters,
    skipShadow: row.skipShadow,
    submittedBy: row.submittedBy,
    phase: storedChoice(RELEASE_PHASES, row.phase, 'releases.phase'),
    outcome: row.outcome === null ? null : storedChoice(RELEASE_OUTCOMES, row.outcome, 'releases.outcome'),
    reason: row.reason,
    candidate: row.candidate,
    bootstrap: row.bootstrap,
    createdAtMs: row.createdAt.getTime(),
    updatedAtMs: row.updatedAt.getTime(),
  };
}

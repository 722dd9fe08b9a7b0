/**
 * The one way in which a route changes: lock, look for the key, fence, compare, decide, write, tell. Everything is in
 * one transaction under the lock on the endpoint's row, so writers of one endpoint come one after the other.
 */
import { and, eq, sql } from 'drizzle-orm';
import type { ChangeRequest } from '../activities/ports.ts';
import { SlipwayError } from '../domain/errors.ts';
import { applyChange } from '../domain/routing/route.ts';
import type { Digest, Route, RouteChange } from '../domain/routing/route.ts';
import { appendAudit } from './audit.ts';
import { rowsOf } from './database.ts';
import type { Database, Transaction } from './database.ts';
import { CHANNELS } from './listen.ts';
import { toColumns, toRoute } from './route-row.ts';
import { aliases, modelVersions, revocations } from './schema/registry.ts';
import { endpointEpochs, productionHistory, routeChanges, routes } from './schema/routing.ts';
import { asStored } from './stored-value.ts';
import { versionNotFound } from './versions.ts';

export interface ChangedRoute {
  readonly route: Route;
  readonly current: boolean;
}

export async function changeRoute(db: Database, request: ChangeRequest): Promise<ChangedRoute> {
  const first = await db.transaction((tx) => attempt(tx, request));
  // Two writers made the endpoint's first route at once. There is a row to lock now, so the second look decides.
  const result = first ?? (await db.transaction((tx) => attempt(tx, request)));
  if (result === null) throw conflict(request, 'it was created meanwhile');
  return result;
}

async function attempt(tx: Transaction, request: ChangeRequest): Promise<ChangedRoute | null> {
  const { endpoint, epoch, expectedGeneration, change } = request;
  const [row] = await tx.select().from(routes).where(eq(routes.endpoint, endpoint)).for('update');
  const before = row === undefined ? null : toRoute(row);
  const earlier = await writtenUnder(tx, request);
  if (earlier !== null) return { route: earlier, current: earlier.generation === before?.generation };

  if (before !== null && before.epoch > epoch) {
    throw new SlipwayError(
      'EPOCH_FENCED',
      `epoch ${before.epoch} owns endpoint ${endpoint}; epoch ${epoch} may no longer change it`,
    );
  }
  if (expectedGeneration !== undefined && expectedGeneration !== (before?.generation ?? 0)) {
    throw conflict(request, `it is at generation ${before?.generation ?? 0}`);
  }
  const target = applyChange(before, change);
  await checkVersions(tx, endpoint, before, change);

  const generation = (before?.generation ?? 0) + 1;
  const after: Route = { endpoint, generation, epoch, ...target };
  if (!(await write(tx, before, after, request.releaseId ?? null))) {
    if (before === null) return null;
    throw conflict(request, 'it moved on meanwhile');
  }
  await remember(tx, before, after, request);
  if (before?.champion !== after.champion) await recordChampion(tx, after);
  await appendAudit(tx, {
    stream: endpoint,
    actor: request.actor,
    action: `route.${change.kind}`,
    subject: endpoint,
    detail: { before, after, reason: request.reason, key: request.key, releaseId: request.releaseId ?? null },
  });
  await tx.execute(sql`select pg_notify(${CHANNELS.routes}, ${endpoint})`);
  return { route: after, current: true };
}

/** What an earlier attempt of the same request made. */
async function writtenUnder(
  tx: Transaction,
  { key, endpoint, change }: ChangeRequest,
): Promise<Route | null> {
  const [earlier] = await tx
    .select({ endpoint: routeChanges.endpoint, change: routeChanges.change, after: routeChanges.after })
    .from(routeChanges)
    .where(eq(routeChanges.key, key));
  if (earlier === undefined) return null;
  const same =
    earlier.endpoint === endpoint &&
    earlier.change.kind === change.kind &&
    versionOf(earlier.change) === versionOf(change);
  if (!same) {
    throw new SlipwayError(
      'INVALID_REQUEST',
      `the key ${key} was used for another route change; use a new one`,
    );
  }
  return earlier.after;
}

const versionOf = (change: RouteChange): Digest | null => ('version' in change ? change.version : null);

/** What the registry knows and a route alone does not: whose version it is, and whether it may serve. */
async function checkVersions(
  tx: Transaction,
  endpoint: string,
  before: Route | null,
  change: RouteChange,
): Promise<void> {
  for (const version of versionsIn(change)) {
    // Going back to who serves anyway needs nobody's leave.
    if (version === before?.champion) continue;
    await checkVersion(tx, endpoint, version);
    if (change.kind === 'rollback') await checkServed(tx, endpoint, version);
  }
}

/** None when the candidate or an experiment is taken out. */
function versionsIn(change: RouteChange): readonly Digest[] {
  if (change.kind === 'experiment') return change.experiment.arms.map(({ version }) => version);
  return 'version' in change ? [change.version] : [];
}

async function checkVersion(tx: Transaction, endpoint: string, version: Digest): Promise<void> {
  const [known] = await tx
    .select({ model: modelVersions.model, revoked: sql<boolean>`${revocations.subject} is not null` })
    .from(modelVersions)
    .leftJoin(
      revocations,
      and(eq(revocations.kind, 'version'), eq(revocations.subject, modelVersions.digest)),
    )
    .where(eq(modelVersions.digest, version));
  if (known === undefined) throw versionNotFound(version);
  if (known.model !== endpoint) {
    throw new SlipwayError(
      'INVALID_REQUEST',
      `${version} is a version of ${known.model}; it cannot serve ${endpoint}`,
    );
  }
  if (known.revoked) throw new SlipwayError('VERSION_REVOKED', `${version} has been revoked`);
}

async function checkServed(tx: Transaction, endpoint: string, version: Digest): Promise<void> {
  const [served] = await tx
    .select({ id: productionHistory.id })
    .from(productionHistory)
    .where(and(eq(productionHistory.endpoint, endpoint), eq(productionHistory.version, version)))
    .limit(1);
  if (served === undefined) {
    throw new SlipwayError('NO_FORMER_CHAMPION', `${version} has never been the champion of ${endpoint}`);
  }
}

/** By compare-and-set, although the row is locked: nothing depends on the lock alone. */
async function write(
  tx: Transaction,
  before: Route | null,
  after: Route,
  releaseId: string | null,
): Promise<boolean> {
  const { endpoint, generation, epoch } = after;
  const values = {
    endpoint,
    generation,
    epoch,
    ...toColumns(after),
    releaseId,
    updatedAt: sql`clock_timestamp()`,
  };
  if (before !== null && before.epoch < epoch) await raiseEpoch(tx, endpoint, epoch);
  if (before === null) {
    await raiseEpoch(tx, endpoint, epoch);
    const inserted = await tx
      .insert(routes)
      .values(values)
      .onConflictDoNothing()
      .returning({ generation: routes.generation });
    return inserted.length === 1;
  }
  const updated = await tx
    .update(routes)
    .set(values)
    .where(and(eq(routes.endpoint, endpoint), eq(routes.generation, before.generation)))
    .returning({ generation: routes.generation });
  return updated.length === 1;
}

/** `nextEpoch` must give more than any epoch in force, wherever that one came from. */
async function raiseEpoch(tx: Transaction, endpoint: string, epoch: number): Promise<void> {
  await tx
    .insert(endpointEpochs)
    .values({ endpoint, epoch })
    .onConflictDoUpdate({
      target: endpointEpochs.endpoint,
      set: { epoch },
      setWhere: sql`${endpointEpochs.epoch} < ${epoch}`,
    });
}

async function remember(
  tx: Transaction,
  before: Route | null,
  after: Route,
  { key, change, actor, reason, releaseId }: ChangeRequest,
): Promise<void> {
  const { endpoint, generation, epoch } = after;
  const kept = await tx
    .insert(routeChanges)
    .values({
      endpoint,
      generation,
      epoch,
      key,
      kind: change.kind,
      change: asStored(change),
      before,
      after,
      actor,
      reason,
      releaseId: releaseId ?? null,
      at: sql`clock_timestamp()`,
    })
    .onConflictDoNothing({ target: routeChanges.key })
    .returning({ generation: routeChanges.generation });
  // The lock is per endpoint and keys are not: another endpoint has just used this one.
  if (kept.length === 0)
    throw new SlipwayError('INVALID_REQUEST', `the key ${key} was used for another endpoint`);
}

/**
 * Closes the present champion's time and opens the new one's at the same instant. That instant is read under the lock
 * and never before the open row's start, so that not even a clock that was set back makes two champions or none.
 */
async function recordChampion(tx: Transaction, { endpoint, champion, generation }: Route): Promise<void> {
  const [closed] = await rowsOf<{ until: string }>(
    tx,
    sql`update ${productionHistory}
      set during = tstzrange(lower(during),
        greatest(clock_timestamp(), lower(during) + interval '1 microsecond'), '[)')
      where endpoint = ${endpoint} and upper_inf(during)
      returning upper(during)::text as until`,
  );
  await rowsOf(
    tx,
    sql`insert into ${productionHistory} (endpoint, version, generation, during)
      values (${endpoint}, ${champion}, ${generation},
        tstzrange(coalesce(${closed?.until ?? null}::timestamptz, clock_timestamp()), null, '[)'))`,
  );
  await tx
    .insert(aliases)
    .values({ model: endpoint, name: 'champion', digest: champion, generation: 1 })
    .onConflictDoUpdate({
      target: [aliases.model, aliases.name],
      set: {
        digest: champion,
        generation: sql`${aliases.generation} + 1`,
        updatedAt: sql`clock_timestamp()`,
      },
    });
}

function conflict({ endpoint, expectedGeneration }: ChangeRequest, why: string): SlipwayError {
  return new SlipwayError(
    'GENERATION_CONFLICT',
    `the route of ${endpoint} was expected at generation ${expectedGeneration ?? 'any'}, but ${why}; read it again`,
  );
}

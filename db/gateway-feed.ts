/** What gateways read (routes with everything needed to serve them) and write (that they live, what they applied). */
import { eq, sql } from 'drizzle-orm';
import type { ModelManifest } from '../domain/manifest/model-manifest.ts';
import { completeManifest } from '../domain/manifest/serving-spec.ts';
import { versionsOf } from '../domain/routing/route.ts';
import type { Digest, Route } from '../domain/routing/route.ts';
import type {
  EndpointSpec,
  EndpointState,
  GatewayRegistry,
  Revocations,
  RouteFeed,
} from '../serving/ports.ts';
import { readAllocation } from './experiments.ts';
import { rowsOf } from './database.ts';
import type { Database, Transaction } from './database.ts';
import { CHANNELS, listen } from './listen.ts';
import { modelNotFound } from './models.ts';
import { toRoute } from './route-row.ts';
import { modelManifests, models, modelVersions, releases, revocations } from './schema/registry.ts';
import { acknowledgements, gateways, routes } from './schema/routing.ts';
import { storedChoice } from './stored-value.ts';
import { describeVersion } from './versions.ts';

export function createRouteFeed(db: Database, databaseUrl: string): RouteFeed {
  return {
    // One snapshot: a route never comes with the descriptors or revocations of another moment.
    read: () =>
      db.snapshot(async (tx) => ({ endpoints: await readEndpoints(tx), revocations: await readRevoked(tx) })),

    async subscribe(onChange) {
      const listener = listen(databaseUrl, [CHANNELS.routes], onChange);
      // A gateway also starts without PostgreSQL, so a failed first attempt is no error; it goes on trying.
      await listener.firstAttempt;
      return { close: () => listener.close() };
    },
  };
}

async function readEndpoints(tx: Transaction): Promise<readonly EndpointState[]> {
  const rows = await tx
    .select({
      route: routes,
      leaseRemainingMs: sql<number | null>`greatest(0, floor(extract(epoch from ${routes.leaseUntil}
        - clock_timestamp()) * 1000))::float8`,
      unleased: sql<boolean>`${routes.leaseUntil} is null`,
    })
    .from(routes)
    .orderBy(routes.endpoint);
  const states: EndpointState[] = [];
  for (const row of rows) {
    const route = toRoute(row.route);
    const versions = [];
    for (const digest of versionsOf(route)) versions.push(await describeVersion(tx, digest));
    const leaseRemainingMs = row.unleased ? null : row.leaseRemainingMs;
    const allocation = await readAllocation(tx, route);
    states.push({ route, spec: await readSpec(tx, route), versions, leaseRemainingMs, allocation });
  }
  return states;
}

/**
 * The contract with callers is that of the champion's release: a manifest that was applied since then changes nothing
 * for them until a version of it is promoted. What decides about a candidate comes from the candidate's own release.
 */
async function readSpec(tx: Transaction, { endpoint, champion, candidate }: Route): Promise<EndpointSpec> {
  const served = await manifestOf(tx, endpoint, champion);
  const judging = candidate === null ? served : await manifestOf(tx, endpoint, candidate.version);
  return {
    endpoint,
    features: served.features,
    latencySloMs: judging.slo.latencyMs,
    // Without a shadow step nothing is mirrored, so there is no pair that this could apply to.
    scoreTolerance: judging.rollout.shadow?.scoreTolerance ?? 0,
    serving: served.serving,
    featureViews: served.featureViews,
  };
}

/** The manifest that the version's release was bound to; the present one for a version without a release here. */
async function manifestOf(tx: Transaction, endpoint: string, digest: Digest): Promise<ModelManifest> {
  const releaseId = sql`${modelVersions.lineage} ->> 'releaseId'`;
  const [row] = await tx
    .select({ manifest: modelManifests.manifest })
    .from(modelVersions)
    .innerJoin(models, eq(models.name, modelVersions.model))
    .leftJoin(releases, eq(releases.id, releaseId))
    .innerJoin(
      modelManifests,
      eq(modelManifests.digest, sql`coalesce(${releases.manifestDigest}, ${models.manifestDigest})`),
    )
    .where(eq(modelVersions.digest, digest));
  if (row === undefined) throw modelNotFound(endpoint);
  return completeManifest(row.manifest);
}

async function readRevoked(tx: Transaction): Promise<Revocations> {
  const rows = await tx.select({ kind: revocations.kind, subject: revocations.subject }).from(revocations);
  const of = (wanted: 'version' | 'key') =>
    rows
      .filter(({ kind }) => storedChoice(['version', 'key'], kind, 'revocations.kind') === wanted)
      .map(({ subject }) => subject);
  return { digests: of('version'), keyIds: of('key') };
}

export function createGatewayRegistry(db: Database): GatewayRegistry {
  return {
    acknowledge: ({ gatewayId, url }, acks) =>
      db.transaction(async (tx) => {
        await tx
          .insert(gateways)
          .values({ gatewayId, url, firstSeen: sql`clock_timestamp()`, lastSeen: sql`clock_timestamp()` })
          .onConflictDoUpdate({ target: gateways.gatewayId, set: { url, lastSeen: sql`clock_timestamp()` } });
        for (const { endpoint, generation, versions } of acks) {
          // A heartbeat that says nothing new writes and wakes nothing.
          const changed = await tx
            .insert(acknowledgements)
            .values({ gatewayId, endpoint, generation, versions })
            .onConflictDoUpdate({
              target: [acknowledgements.gatewayId, acknowledgements.endpoint],
              set: { generation, versions, at: sql`clock_timestamp()` },
              setWhere: sql`(${acknowledgements.generation}, ${acknowledgements.versions})
                is distinct from (excluded.generation, excluded.versions)`,
            })
            .returning({ endpoint: acknowledgements.endpoint });
          if (changed.length > 0)
            await tx.execute(sql`select pg_notify(${CHANNELS.acknowledgements}, ${endpoint})`);
        }
      }),

    leave: (gatewayId) =>
      db.transaction(async (tx) => {
        // With its acknowledgements, by cascade. Whoever waits for this gateway looks again.
        const left = await rowsOf(
          tx,
          sql`delete from ${gateways} where gateway_id = ${gatewayId} returning gateway_id`,
        );
        if (left.length > 0) await tx.execute(sql`select pg_notify(${CHANNELS.acknowledgements}, '*')`);
      }),
  };
}

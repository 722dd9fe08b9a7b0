/** Routes of endpoints and what gateways say about them. `route-change.ts` is the only writer of a generation. */
import { and, eq, gt, sql } from 'drizzle-orm';
import type { RouteStore } from '../activities/ports.ts';
import type { LiveGateway } from '../domain/rollout/arm-window.ts';
import type { Route } from '../domain/routing/route.ts';
import type { Database } from './database.ts';
import { CHANNELS } from './listen.ts';
import type { Notifications } from './notifications.ts';
import { changeRoute } from './route-change.ts';
import { createRouteHistory } from './route-history.ts';
import type { RouteHistory } from './route-history.ts';
import { toRoute } from './route-row.ts';
import { acknowledgements, endpointEpochs, gateways, routes } from './schema/routing.ts';

/** A gateway says that it lives each second; one that was silent for this long is not waited for. */
const LIVE_WITHIN_MS = 5_000;
export const isLive = gt(
  gateways.lastSeen,
  sql.raw(`clock_timestamp() - interval '${LIVE_WITHIN_MS} milliseconds'`),
);

export interface RouteRegistry extends RouteStore, RouteHistory {
  list(): Promise<readonly Route[]>;
}

export function createRouteRegistry(db: Database, notifications: Notifications): RouteRegistry {
  return {
    ...createRouteHistory(db),

    change: (request) => changeRoute(db, request),

    async read(endpoint) {
      const [row] = await db.read((orm) => orm.select().from(routes).where(eq(routes.endpoint, endpoint)));
      return row === undefined ? null : toRoute(row);
    },

    async list() {
      const rows = await db.read((orm) => orm.select().from(routes).orderBy(routes.endpoint));
      return rows.map(toRoute);
    },

    async nextEpoch(endpoint) {
      const [row] = await db.read((orm) =>
        orm
          .insert(endpointEpochs)
          .values({ endpoint, epoch: 1 })
          .onConflictDoUpdate({
            target: endpointEpochs.endpoint,
            set: { epoch: sql`${endpointEpochs.epoch} + 1` },
          })
          .returning({ epoch: endpointEpochs.epoch }),
      );
      if (row === undefined) throw new Error(`no epoch was given for ${endpoint}`);
      return row.epoch;
    },

    /** A lease that has run out stays out: traffic is back with the champion, and only a new generation moves it. */
    async renewLease({ endpoint, generation, epoch }) {
      const renewed = await db.read((orm) =>
        orm
          .update(routes)
          .set({
            leaseUntil: sql`greatest(${routes.leaseUntil},
              clock_timestamp() + coalesce(${routes.candidateLeaseMs},
                (${routes.experiment} ->> 'leaseMs')::float8) * interval '1 millisecond')`,
          })
          .where(
            and(
              eq(routes.endpoint, endpoint),
              eq(routes.generation, generation),
              eq(routes.epoch, epoch),
              gt(routes.leaseUntil, sql`clock_timestamp()`),
            ),
          )
          .returning({ generation: routes.generation }),
      );
      return renewed.length === 1;
    },

    liveGateways: (endpoint) => liveGateways(db, endpoint),

    waitForAcknowledgement: (endpoint, timeoutMs, signal) =>
      notifications.wait(CHANNELS.acknowledgements, endpoint, timeoutMs, signal),
  };
}

async function liveGateways(db: Database, endpoint: string): Promise<readonly LiveGateway[]> {
  const rows = await db.read((orm) =>
    orm
      .select({ gatewayId: gateways.gatewayId, url: gateways.url, acknowledgement: acknowledgements })
      .from(gateways)
      .leftJoin(
        acknowledgements,
        and(eq(acknowledgements.gatewayId, gateways.gatewayId), eq(acknowledgements.endpoint, endpoint)),
      )
      .where(isLive)
      .orderBy(gateways.gatewayId),
  );
  return rows.map(({ gatewayId, url, acknowledgement }) => ({
    gatewayId,
    url,
    acknowledgement:
      acknowledgement === null
        ? null
        : {
            gatewayId,
            endpoint,
            generation: acknowledgement.generation,
            versions: acknowledgement.versions,
          },
  }));
}

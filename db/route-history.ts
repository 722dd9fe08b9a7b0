/** What was: every generation of a route, and who served when. */
import { asc, eq, sql } from 'drizzle-orm';
import type { Digest, Route, RouteChange } from '../domain/routing/route.ts';
import { rowsOf } from './database.ts';
import type { Database } from './database.ts';
import { productionHistory, routeChanges } from './schema/routing.ts';

export interface RouteHistoryEntry {
  readonly generation: number;
  readonly epoch: number;
  readonly change: RouteChange;
  readonly after: Route;
  readonly actor: string;
  readonly reason: string;
  readonly releaseId: string | null;
  readonly atMs: number;
}

export interface RouteHistory {
  /** Every generation of the endpoint, oldest first. */
  history(endpoint: string): Promise<readonly RouteHistoryEntry[]>;
  /** Champions that the endpoint has had, newest first, without the present one. */
  formerChampions(endpoint: string): Promise<readonly Digest[]>;
  /** Who served the endpoint at an instant; null before its first champion. */
  championAt(endpoint: string, atMs: number): Promise<Digest | null>;
}

export function createRouteHistory(db: Database): RouteHistory {
  return {
    async history(endpoint) {
      const rows = await db.read((orm) =>
        orm
          .select()
          .from(routeChanges)
          .where(eq(routeChanges.endpoint, endpoint))
          .orderBy(asc(routeChanges.generation)),
      );
      return rows.map(({ generation, epoch, change, after, actor, reason, releaseId, at }) => ({
        generation,
        epoch,
        change,
        after,
        actor,
        reason,
        releaseId,
        atMs: at.getTime(),
      }));
    },

    async formerChampions(endpoint) {
      const rows = await db.read((orm) =>
        rowsOf<{ version: string }>(
          orm,
          sql`select version from ${productionHistory} where endpoint = ${endpoint}
            group by version having not bool_or(upper_inf(during)) order by max(upper(during)) desc`,
        ),
      );
      return rows.map(({ version }) => version);
    },

    async championAt(endpoint, atMs) {
      const [row] = await db.read((orm) =>
        rowsOf<{ version: string }>(
          orm,
          sql`select version from ${productionHistory}
            where endpoint = ${endpoint} and during @> to_timestamp(${atMs} / 1000.0)`,
        ),
      );
      return row?.version ?? null;
    },
  };
}

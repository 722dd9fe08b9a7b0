/** Between the columns of `routes` and the route of the domain. */
import { sql } from 'drizzle-orm';
import type { Route, RouteTarget } from '../domain/routing/route.ts';
import type { routes } from './schema/routing.ts';
import { storedValue } from './stored-value.ts';

type RouteRow = typeof routes.$inferSelect;

export function toRoute(row: RouteRow): Route {
  const { endpoint, generation, epoch, champion, candidateVersion, standbyVersion } = row;
  return {
    endpoint,
    generation,
    epoch,
    champion,
    candidate:
      candidateVersion === null
        ? null
        : {
            version: candidateVersion,
            weightBp: storedValue(row.candidateWeightBp, 'routes.candidate_weight_bp'),
            mirrorBp: storedValue(row.candidateMirrorBp, 'routes.candidate_mirror_bp'),
            salt: storedValue(row.candidateSalt, 'routes.candidate_salt'),
            leaseMs: storedValue(row.candidateLeaseMs, 'routes.candidate_lease_ms'),
          },
    standby:
      standbyVersion === null
        ? null
        : {
            version: standbyVersion,
            untilMs: storedValue(row.standbyUntil, 'routes.standby_until').getTime(),
          },
    experiment: row.experiment,
  };
}

/** A write with a candidate or an experiment starts its lease anew, by the database's clock. */
export function toColumns({ champion, candidate, standby, experiment }: RouteTarget) {
  const leased = candidate ?? experiment;
  return {
    champion,
    candidateVersion: candidate?.version ?? null,
    candidateWeightBp: candidate?.weightBp ?? null,
    candidateMirrorBp: candidate?.mirrorBp ?? null,
    candidateSalt: candidate?.salt ?? null,
    candidateLeaseMs: candidate?.leaseMs ?? null,
    experiment,
    leaseUntil: leased === null ? null : leaseFromNow(leased.leaseMs),
    standbyVersion: standby?.version ?? null,
    standbyUntil: standby === null ? null : new Date(standby.untilMs),
  };
}

function leaseFromNow(leaseMs: number) {
  return sql`clock_timestamp() + ${leaseMs} * interval '1 millisecond'`;
}

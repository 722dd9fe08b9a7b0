/**
 * What a request is answered from: an immutable snapshot of one endpoint's route with its loaded versions, swapped by
 * reference. Only three things in it move, and each can only take exposure away: the lease runs out, the breaker
 * trips, the candidate is withdrawn.
 */
import type { Breaker } from '../../domain/rollout/breaker.ts';
import type { Digest } from '../../domain/routing/route.ts';
import { FULL_WEIGHT } from '../../domain/routing/route.ts';
import type { ArmTally } from '../arm-tally.ts';
import type { ModelSession } from '../models/model-session.ts';
import { bucketOf } from './bucket.ts';

/** One version in one role. */
export interface ServingArm {
  readonly version: Digest;
  readonly session: ModelSession;
  readonly tally: ArmTally;
}

/** Present while the candidate may be tried at all; shared by all snapshots of one release. */
export interface Exposure {
  readonly breaker: Breaker;
  /** Monotonic milliseconds. */
  leaseUntilMs: number;
  /** A later route, which cannot be applied yet, does not have this candidate. */
  withdrawn: boolean;
}

export interface ServingCandidate {
  /** Null without a share of live requests. */
  readonly canary: ServingArm | null;
  /** Null without a share of mirrored requests. */
  readonly shadow: ServingArm | null;
  readonly weightBp: number;
  readonly mirrorBp: number;
  readonly saltState: number;
  readonly exposure: Exposure;
}

export interface ServingRoute {
  readonly generation: number;
  readonly champion: ServingArm;
  /** Null without a candidate, or while it is not loaded. */
  readonly candidate: ServingCandidate | null;
}

export function isExposed({ breaker, leaseUntilMs, withdrawn }: Exposure, nowMs: number): boolean {
  return nowMs < leaseUntilMs && breaker.tripped === null && !withdrawn;
}

/** The arm that answers. `rng` is asked only for a request without a unit. */
export function pickArm(
  route: ServingRoute,
  unit: string | undefined,
  nowMs: number,
  rng: () => number,
): ServingArm {
  const { candidate, champion } = route;
  if (candidate === null || candidate.canary === null || !isExposed(candidate.exposure, nowMs))
    return champion;
  const bucket = unit === undefined ? Math.floor(rng() * FULL_WEIGHT) : bucketOf(candidate.saltState, unit);
  return bucket < candidate.weightBp ? candidate.canary : champion;
}

/** The arm that gets a copy of a request that the champion answered; drawn anew each time, whoever the user is. */
export function pickMirror(route: ServingRoute, nowMs: number, rng: () => number): ServingArm | null {
  const { candidate } = route;
  if (candidate === null || candidate.shadow === null || !isExposed(candidate.exposure, nowMs)) return null;
  return Math.floor(rng() * FULL_WEIGHT) < candidate.mirrorBp ? candidate.shadow : null;
}

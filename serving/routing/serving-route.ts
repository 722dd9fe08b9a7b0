/**
 * What a request is answered from: an immutable snapshot of one endpoint's route with its loaded versions, swapped by
 * reference. Only three things in it move, and each can only take exposure away: the lease runs out, the breaker
 * trips, the candidate is withdrawn.
 */
import type { Breaker } from '../../domain/rollout/breaker.ts';
import type { Digest } from '../../domain/routing/route.ts';
import { FULL_WEIGHT } from '../../domain/routing/route.ts';
import type { ArmTally } from '../arm-tally.ts';
import type { BatchedModel } from '../batching/batched-model.ts';
import { bucketOf } from './bucket.ts';
import { pickExperimentArm } from './serving-experiment.ts';
import type { ServingExperiment } from './serving-experiment.ts';

/** One version in one role. */
export interface ServingArm {
  readonly version: Digest;
  readonly session: BatchedModel;
  readonly tally: ArmTally;
  /** Null for the champion, which nothing takes out of traffic. */
  readonly exposure: Exposure | null;
}

/** Present while the arm may be tried at all; shared by all snapshots of one release or experiment. */
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
  /** Never beside a candidate. */
  readonly experiment: ServingExperiment | null;
}

/** Who answers one request, and how that came about. */
export interface Picked {
  readonly arm: ServingArm;
  /** Null for a request that is in no experiment. */
  readonly experiment: string | null;
  /** Probability with which this arm was chosen for this request; 1 outside of experiments. */
  readonly propensity: number;
  /** Of a request in an experiment: version of the allocation, and what a contextual policy looked at. */
  readonly snapshot?: number;
  readonly context?: readonly number[];
}

export function isExposed({ breaker, leaseUntilMs, withdrawn }: Exposure, nowMs: number): boolean {
  return nowMs < leaseUntilMs && breaker.tripped === null && !withdrawn;
}

/**
 * The arm that answers. `rng` is asked only where a draw is needed: for a request without a unit, or by a bandit.
 * `features` are those of the first row: the context of a contextual bandit.
 */
export function pickArm(
  route: ServingRoute,
  unit: string | undefined,
  features: Float32Array,
  nowMs: number,
  rng: () => number,
): Picked {
  const { candidate, champion, experiment } = route;
  if (experiment !== null) return pickExperimentArm(experiment, champion, unit, features, nowMs, rng);
  if (candidate === null || candidate.canary === null || !isExposed(candidate.exposure, nowMs)) {
    return { arm: champion, experiment: null, propensity: 1 };
  }
  const bucket = unit === undefined ? Math.floor(rng() * FULL_WEIGHT) : bucketOf(candidate.saltState, unit);
  const arm = bucket < candidate.weightBp ? candidate.canary : champion;
  return { arm, experiment: null, propensity: 1 };
}

/** The arm that gets a copy of a request that the champion answered; drawn anew each time, whoever the user is. */
export function pickMirror(route: ServingRoute, nowMs: number, rng: () => number): ServingArm | null {
  const { candidate } = route;
  if (candidate === null || candidate.shadow === null || !isExposed(candidate.exposure, nowMs)) return null;
  return Math.floor(rng() * FULL_WEIGHT) < candidate.mirrorBp ? candidate.shadow : null;
}

/**
 * An experiment as requests meet it. The champion is one of its arms; an arm that is not loaded, has failed or has no
 * lease any more is answered by the champion outside of the experiment, so its users are not counted for anyone.
 */
import { FULL_WEIGHT } from '../../domain/routing/route.ts';
import { bucketOf } from './bucket.ts';
import { isExposed } from './serving-route.ts';
import type { Picked, ServingArm } from './serving-route.ts';

/** Chooses by the request's own features; a policy of `domain/experiments`. */
export interface ContextualPolicy {
  /** `context`: row-major features, of which the first row counts. */
  choose(
    context: Float32Array,
    rng: () => number,
  ): { readonly index: number; readonly propensity: number; readonly context?: readonly number[] };
}

export interface ServingExperiment {
  readonly name: string;
  /** By unit, where the request names one: the same user sees the same version. */
  readonly sticky: boolean;
  readonly saltState: number;
  /** In the order of the route; null while the arm's version is not loaded. */
  readonly arms: readonly (ServingArm | null)[];
  /** Version of the allocation. */
  readonly snapshot?: number;
  /** Basis points for each arm, together 10,000. */
  readonly sharesBp: readonly number[];
  /** Null when the shares decide. */
  readonly contextual: ContextualPolicy | null;
}

export function pickExperimentArm(
  { name, sticky, saltState, arms, snapshot, sharesBp, contextual }: ServingExperiment,
  champion: ServingArm,
  unit: string | undefined,
  features: Float32Array,
  nowMs: number,
  rng: () => number,
): Picked {
  // The lease is the experiment's: without it no arm is counted, the control's neither, or the arms' shares are not
  // those that were promised.
  const over = arms.some(
    (arm) => arm?.exposure != null && (nowMs >= arm.exposure.leaseUntilMs || arm.exposure.withdrawn),
  );
  if (over) return { arm: champion, experiment: null, propensity: 1 };
  let index: number;
  let propensity: number;
  let context: readonly number[] | undefined;
  if (contextual !== null) {
    ({ index, propensity, context } = contextual.choose(features, rng));
  } else {
    const bucket = sticky && unit !== undefined ? bucketOf(saltState, unit) : Math.floor(rng() * FULL_WEIGHT);
    index = armOfBucket(sharesBp, bucket);
    propensity = (sharesBp[index] ?? 0) / FULL_WEIGHT;
  }
  const arm = arms[index] ?? null;
  if (arm === null || (arm.exposure !== null && !isExposed(arm.exposure, nowMs))) {
    return { arm: champion, experiment: null, propensity: 1 };
  }
  return {
    arm,
    experiment: name,
    propensity,
    ...(snapshot === undefined ? {} : { snapshot }),
    ...(context === undefined ? {} : { context }),
  };
}

/** Arms take the buckets in their order: the first from 0 to its share, the next from there. */
function armOfBucket(sharesBp: readonly number[], bucket: number): number {
  let upTo = 0;
  for (let index = 0; index < sharesBp.length; index += 1) {
    upTo += sharesBp[index] as number;
    if (bucket < upTo) return index;
  }
  return sharesBp.length - 1;
}

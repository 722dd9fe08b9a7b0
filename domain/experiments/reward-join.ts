/**
 * How a reward finds its decision: by prediction id, once, within a window.
 */
import type { ExperimentSpec } from './experiment-spec.ts';

/** What the prediction log says about one decision of an experiment. */
export interface Decision {
  readonly predictionId: string;
  /** Index of the arm. */
  readonly arm: number;
  readonly propensity: number;
  /** Version of the shares in force, null in an A/B experiment. */
  readonly snapshot: number | null;
  /** Unix milliseconds. */
  readonly decidedAtMs: number;
}

export type JoinedReward =
  /** Store it; it counts (see `outcome`). */
  | { readonly kind: 'accepted' }
  /** Store and count it as late; no result uses it. */
  | { readonly kind: 'late'; readonly byMs: number }
  /** The same reward once more: nothing to do, and the caller is told that all is well. */
  | { readonly kind: 'repeated' }
  /** Another reward was stored first, and stays. */
  | { readonly kind: 'conflict'; readonly stored: number }
  /** No decision of this experiment has the id, or its log has not arrived yet. */
  | { readonly kind: 'unknown' }
  /** Not a value of this metric. */
  | { readonly kind: 'invalid'; readonly reason: string };

/**
 * What to do with a reward that arrives at `nowMs`. The window is closed at its end: a reward exactly then is in time.
 *
 * @param stored the reward that this prediction already has, also a late one.
 */
export function joinReward(
  { metric, rewardWindowMs }: Pick<ExperimentSpec, 'metric' | 'rewardWindowMs'>,
  decision: Decision | null,
  stored: number | null,
  reward: number,
  nowMs: number,
): JoinedReward {
  if (metric.kind === 'conversion' && reward !== 0 && reward !== 1) {
    return { kind: 'invalid', reason: `a conversion is 0 or 1, not ${reward}` };
  }
  if (!(reward >= 0 && reward <= 1)) {
    return { kind: 'invalid', reason: `a reward must be between 0 and 1, not ${reward}` };
  }
  if (decision === null) return { kind: 'unknown' };
  if (stored !== null) return stored === reward ? { kind: 'repeated' } : { kind: 'conflict', stored };
  const byMs = nowMs - decision.decidedAtMs - rewardWindowMs;
  return byMs > 0 ? { kind: 'late', byMs } : { kind: 'accepted' };
}

export type Outcome =
  | { readonly kind: 'counts'; readonly reward: number }
  /** Look again later. */
  | { readonly kind: 'waiting' }
  /** Stays out of every result. */
  | { readonly kind: 'none' };

/**
 * What a decision counts as at `nowMs`. When missing rewards are zeros, *all* outcomes count only once the window has
 * closed: otherwise conversions would count before the failures of the same hour, and every arm, above all one with
 * new traffic, would look too good.
 *
 * @param accepted the stored reward, null without one or when it was late.
 */
export function outcome(
  { metric, rewardWindowMs }: Pick<ExperimentSpec, 'metric' | 'rewardWindowMs'>,
  decision: Decision,
  accepted: number | null,
  nowMs: number,
): Outcome {
  const open = nowMs <= decision.decidedAtMs + rewardWindowMs;
  if (metric.absent === 'zero') {
    return open ? { kind: 'waiting' } : { kind: 'counts', reward: accepted ?? 0 };
  }
  if (accepted !== null) return { kind: 'counts', reward: accepted };
  return open ? { kind: 'waiting' } : { kind: 'none' };
}

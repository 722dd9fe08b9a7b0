/**
 * The result of an A/B experiment at any look: counts in, one decision out. With probability at least 1 − α *all*
 * intervals of differences contain the truth at *all* looks together, so stopping at the first winner is no mistake.
 */
import { SlipwayError } from '../errors.ts';
import { sampleRatioLogE } from '../rollout/sample-ratio.ts';
import { FULL_WEIGHT } from '../routing/route.ts';
import type { Interval, RewardTotals } from './bounded-mean.ts';
import { addTotals, meanInterval, NO_REWARDS } from './bounded-mean.ts';
import type { PairSegment } from './difference.ts';
import { differenceInterval, differenceLogE } from './difference.ts';
import type { ExperimentSpec } from './experiment-spec.ts';

export interface ArmEvidence {
  /** Requests that got this arm. */
  readonly decisions: number;
  readonly totals: RewardTotals;
}

/** While the weights were constant; both lists in the order of the experiment's arms. */
export interface ExperimentSegment {
  readonly weightsBp: readonly number[];
  readonly arms: readonly ArmEvidence[];
}

export type AbDecision =
  /** An arm is better than the control: of several the one with the highest mean, which is not proven the best. */
  | 'winner'
  /** No arm is better by the minimum effect; arms may be proven worse. */
  | 'no-difference'
  /** The arms did not get their shares, so they cannot be compared. */
  | 'invalid'
  /** The time is over. */
  | 'inconclusive'
  | 'continue';

export interface ArmResult {
  readonly name: string;
  readonly decisions: number;
  readonly rewards: number;
  /** Null without rewards. */
  readonly mean: number | null;
  /** Holds at all times with probability 1 − α for this arm alone, while its mean is constant. */
  readonly interval: Interval;
}

export interface Comparison {
  readonly arm: string;
  readonly control: string;
  /** Arm's mean less the control's; null while one has no rewards. */
  readonly difference: number | null;
  readonly interval: Interval;
  /** Log e-value against "never better than the control". */
  readonly logE: number;
  /** Anytime-valid and adjusted for all comparisons: below α exactly when the interval lies above 0. */
  readonly pValue: number;
}

export interface AbResult {
  readonly decision: AbDecision;
  readonly reason: string;
  /** Name of the arm; null unless the decision is `winner`. */
  readonly winner: string | null;
  readonly arms: readonly ArmResult[];
  readonly comparisons: readonly Comparison[];
}

/** Chance of calling a correct split a mismatch, as in a rollout. */
const ALPHA_SAMPLE_RATIO = 0.001;

/** @throws SlipwayError `INVALID_PARAMETER` for evidence that does not fit the experiment's arms. */
export function abResult(
  spec: ExperimentSpec,
  segments: readonly ExperimentSegment[],
  elapsedMs: number,
): AbResult {
  requireSegments(spec, segments);
  const control = controlOf(spec);
  const arms = spec.arms.map(({ name }, index) => armResult(spec, segments, name, index));
  const comparisons = spec.arms.flatMap((_, index) =>
    index === control ? [] : [compare(spec, segments, arms, index, control)],
  );
  const result = (decision: AbDecision, reason: string, winner: string | null = null): AbResult => {
    return { decision, reason, winner, arms, comparisons };
  };
  const mismatch = sampleRatioMismatch(spec, segments);
  if (mismatch !== null) return result('invalid', mismatch);

  const better = comparisons
    .filter(({ interval }) => interval.lower > 0)
    .sort((a, b) => (b.difference as number) - (a.difference as number))[0];
  const enough = arms.every(({ rewards }) => rewards >= spec.minSamples);
  if (better !== undefined && enough) {
    const { arm, control: name, interval, pValue } = better;
    const by = `${interval.lower.toPrecision(3)} to ${interval.upper.toPrecision(3)}`;
    return result('winner', `${arm} is better than ${name} by ${by} (p ${pValue.toPrecision(2)})`, arm);
  }
  if (enough && comparisons.every(({ interval }) => interval.upper < spec.minimumEffect)) {
    return result('no-difference', `no arm is better than the control by ${spec.minimumEffect} or more`);
  }
  if (!(elapsedMs < spec.maxDurationMs)) return result('inconclusive', 'the longest duration has passed');
  return result('continue', enough ? 'the arms are not told apart yet' : 'too few rewards in some arm');
}

/** Index of the champion's arm. */
export function controlOf({ arms }: Pick<ExperimentSpec, 'arms'>): number {
  return arms.findIndex(({ version }) => version === 'champion');
}

function armResult(
  { metric, alpha }: ExperimentSpec,
  segments: readonly ExperimentSegment[],
  name: string,
  index: number,
): ArmResult {
  let decisions = 0;
  let totals = NO_REWARDS;
  for (const { arms } of segments) {
    const arm = arms[index] as ArmEvidence;
    decisions += arm.decisions;
    totals = addTotals(totals, arm.totals);
  }
  const { rewards, sum } = totals;
  const interval = meanInterval(metric.kind, totals, alpha);
  return { name, decisions, rewards, mean: rewards === 0 ? null : sum / rewards, interval };
}

function compare(
  { metric, alpha }: ExperimentSpec,
  segments: readonly ExperimentSegment[],
  arms: readonly ArmResult[],
  index: number,
  control: number,
): Comparison {
  const pairs = segments.flatMap(({ weightsBp, arms: evidence }): readonly PairSegment[] => {
    const own = weightsBp[index] as number;
    const both = own + (weightsBp[control] as number);
    if (both === 0) return [];
    return [
      {
        share: own / both,
        arm: (evidence[index] as ArmEvidence).totals,
        control: (evidence[control] as ArmEvidence).totals,
      },
    ];
  });
  const { name, mean } = arms[index] as ArmResult;
  const other = arms[control] as ArmResult;
  const comparisons = arms.length - 1;
  const logE = differenceLogE(metric.kind, pairs, 0, 1);
  return {
    arm: name,
    control: other.name,
    difference: mean === null || other.mean === null ? null : mean - other.mean,
    interval: differenceInterval(metric.kind, pairs, alpha / comparisons),
    logE,
    pValue: Math.min(1, 2 * comparisons * Math.exp(-logE)),
  };
}

/** Rewards are tested like decisions: were they to reach one arm only, the comparison would mean nothing. */
function sampleRatioMismatch(spec: ExperimentSpec, segments: readonly ExperimentSegment[]): string | null {
  const counts = {
    decisions: ({ decisions }: ArmEvidence): number => decisions,
    rewards: ({ totals }: ArmEvidence): number => totals.rewards,
  };
  for (const [what, count] of Object.entries(counts)) {
    for (const [index, { name }] of spec.arms.entries()) {
      const totals = segments.map(({ weightsBp, arms }) => {
        const candidate = count(arms[index] as ArmEvidence);
        const all = arms.reduce((sum, arm) => sum + count(arm), 0);
        return { share: (weightsBp[index] as number) / FULL_WEIGHT, candidate, champion: all - candidate };
      });
      const log = sampleRatioLogE(totals);
      if (log < Math.log(spec.arms.length / ALPHA_SAMPLE_RATIO)) continue;
      const got = totals.reduce((sum, { candidate }) => sum + candidate, 0);
      const expected = totals.reduce(
        (sum, { share, candidate, champion }) => sum + share * (candidate + champion),
        0,
      );
      return `sample-ratio mismatch: ${name} got ${got} ${what} where ${Math.round(expected)} were expected`;
    }
  }
  return null;
}

function requireSegments({ arms }: ExperimentSpec, segments: readonly ExperimentSegment[]): void {
  for (const { weightsBp, arms: evidence } of segments) {
    const total = weightsBp.reduce((sum, weight) => sum + weight, 0);
    if (weightsBp.length !== arms.length || evidence.length !== arms.length || total !== FULL_WEIGHT) {
      throw new SlipwayError(
        'INVALID_PARAMETER',
        `evidence must have a weight and counts for each of the ${arms.length} arms, and weights that add up to ${FULL_WEIGHT}`,
      );
    }
  }
}

/**
 * What a rollout decides on: counts of requests and bad events per arm, always together with the traffic share that
 * was in force when they happened. Counts only add up, so evidence from any number of gateways and windows merges by
 * addition and a decision can be recomputed from stored rows.
 */
import type { GuardrailName } from '../manifest/model-manifest.ts';

export interface ArmCounts {
  /** Requests that the arm answered or was mirrored. */
  readonly requests: number;
  readonly errors: number;
  readonly slow: number;
  readonly invalid: number;
  /** Candidate only: pairs whose scores differ beyond the tolerance; `pairs` is the number compared. */
  readonly diverged: number;
  readonly pairs: number;
  /** Delayed labels that have arrived for this arm's predictions, and how many of those predictions were wrong. */
  readonly labelled: number;
  readonly wrong: number;
}

/**
 * A stretch of time with one traffic share: one route generation. `share` is the probability (0–1) that a request
 * which reached either arm reached the candidate: weight for a canary, mirror / (1 + mirror) for a shadow.
 */
export interface Segment {
  readonly share: number;
  readonly champion: ArmCounts;
  readonly candidate: ArmCounts;
}

export const NO_COUNTS: ArmCounts = {
  requests: 0,
  errors: 0,
  slow: 0,
  invalid: 0,
  diverged: 0,
  pairs: 0,
  labelled: 0,
  wrong: 0,
};

export function addCounts(a: ArmCounts, b: ArmCounts): ArmCounts {
  return {
    requests: a.requests + b.requests,
    errors: a.errors + b.errors,
    slow: a.slow + b.slow,
    invalid: a.invalid + b.invalid,
    diverged: a.diverged + b.diverged,
    pairs: a.pairs + b.pairs,
    labelled: a.labelled + b.labelled,
    wrong: a.wrong + b.wrong,
  };
}

/** Trials and bad events of one guardrail on one arm. */
export function eventsOf(guardrail: GuardrailName, counts: ArmCounts): { trials: number; bad: number } {
  switch (guardrail) {
    case 'errors':
      return { trials: counts.requests, bad: counts.errors };
    case 'slow':
      return { trials: counts.requests, bad: counts.slow };
    case 'invalid':
      return { trials: counts.requests, bad: counts.invalid };
    case 'diverged':
      return { trials: counts.pairs, bad: counts.diverged };
    case 'wrong':
      return { trials: counts.labelled, bad: counts.wrong };
  }
}

/**
 * The gateway's local breaker for one arm: two rules that need nobody else's data, so an arm that breaks loses its
 * traffic within a second even with the control plane gone. It can only take traffic away.
 *
 * 1. `consecutiveFailures` failures in a row (default 5): total breakage. At a failure rate f this happens by chance
 *    about f^5 times per request: 3 in 10^12 at 0.5 %, 3 in 10^7 at 5 %. It is for arms with a past: a new arm that
 *    fails from the start is already tripped by rule 2 at its fourth request.
 * 2. Anytime-valid evidence (e ≥ 1,000) that the failure rate is above `toleratedRate` (default 5 %): the chance
 *    that this rule ever trips an arm at or below that rate is at most 1 in 1,000, over any number of requests.
 *
 * A plain e-process remembers each good answer as counter-evidence, so an arm that was healthy for an hour could
 * then fail for minutes unseen. So half of the error budget goes to the process since the start (it finds slow,
 * steady faults) and half to one that starts anew every `BLOCK` requests (it finds sudden ones). The j-th block must
 * reach 2·e·j·(j+1); as Σ 1/(j(j+1)) = 1, both together keep the promise of rule 2.
 *
 * Per outcome: a few additions; logarithms only on a failure (evidence never rises on a success); no allocation.
 */
import { SlipwayError } from '../errors.ts';

/** 256 requests are about 25 s of a 10 % canary at 100 rps; long enough to prove 20 % against 5 % in one block. */
const BLOCK = 256;

/** Failure rates that are bet on, as multiples of the tolerated one, capped below 1. */
const RATIOS = [2, 4, 8, 16] as const;

export interface BreakerSettings {
  readonly consecutiveFailures: number;
  /** Failure rate that an arm may have, 0–1. */
  readonly toleratedRate: number;
  readonly eValue: number;
}

export const DEFAULT_BREAKER: BreakerSettings = { consecutiveFailures: 5, toleratedRate: 0.05, eValue: 1000 };

export type BreakerTrip = 'consecutive' | 'rate';

/** One mutable object of constant shape per arm and route generation. */
export interface Breaker {
  readonly settings: BreakerSettings;
  /** Log of what one failure / one success multiplies each bet with. */
  readonly onFailure: Float64Array;
  readonly onSuccess: Float64Array;
  failures: number;
  successes: number;
  consecutive: number;
  block: number;
  blockFailures: number;
  blockSuccesses: number;
  tripped: BreakerTrip | null;
}

export function createBreaker(settings: BreakerSettings = DEFAULT_BREAKER): Breaker {
  const { consecutiveFailures, toleratedRate, eValue } = settings;
  if (!(toleratedRate > 0 && toleratedRate < 1) || !(consecutiveFailures >= 1) || !(eValue > 1)) {
    throw new SlipwayError(
      'INVALID_PARAMETER',
      'a breaker needs 1 or more consecutiveFailures, a toleratedRate between 0 and 1 and an eValue above 1',
    );
  }
  const highest = 1 - (1 - toleratedRate) / 20;
  const rates = RATIOS.map((ratio) => Math.min(ratio * toleratedRate, highest));
  return {
    settings,
    onFailure: Float64Array.from(rates, (rate) => Math.log(rate / toleratedRate)),
    onSuccess: Float64Array.from(rates, (rate) => Math.log1p((toleratedRate - rate) / (1 - toleratedRate))),
    failures: 0,
    successes: 0,
    consecutive: 0,
    block: 1,
    blockFailures: 0,
    blockSuccesses: 0,
    tripped: null,
  };
}

/** Takes one outcome; true once the arm is tripped, and from then on: only a new breaker starts over. */
export function recordOutcome(breaker: Breaker, failed: boolean): boolean {
  if (breaker.tripped !== null) return true;
  if (failed) {
    breaker.failures += 1;
    breaker.blockFailures += 1;
    breaker.consecutive += 1;
    if (breaker.consecutive >= breaker.settings.consecutiveFailures) breaker.tripped = 'consecutive';
    else if (rateTooHigh(breaker)) breaker.tripped = 'rate';
  } else {
    breaker.successes += 1;
    breaker.blockSuccesses += 1;
    breaker.consecutive = 0;
  }
  if (breaker.blockFailures + breaker.blockSuccesses === BLOCK) {
    breaker.block += 1;
    breaker.blockFailures = 0;
    breaker.blockSuccesses = 0;
  }
  return breaker.tripped !== null;
}

/** Why it tripped, in one sentence; null while it has not. */
export function breakerReason(breaker: Breaker): string | null {
  const { tripped, failures, successes, settings } = breaker;
  const counts = `${failures} of ${failures + successes} requests failed`;
  switch (tripped) {
    case null:
      return null;
    case 'consecutive':
      return `${settings.consecutiveFailures} requests in a row failed (${counts})`;
    case 'rate':
      return `the failure rate is above ${settings.toleratedRate * 100} % (${counts}, e ≥ ${settings.eValue})`;
  }
}

function rateTooHigh(breaker: Breaker): boolean {
  const needed = Math.log(2 * breaker.settings.eValue);
  return (
    logEvidence(breaker, breaker.failures, breaker.successes) >= needed ||
    logEvidence(breaker, breaker.blockFailures, breaker.blockSuccesses) >=
      needed + Math.log(breaker.block * (breaker.block + 1))
  );
}

/** As `binomialLogE`, without its arrays. */
function logEvidence(breaker: Breaker, failures: number, successes: number): number {
  const { onFailure, onSuccess } = breaker;
  let largest = -Infinity;
  for (let i = 0; i < RATIOS.length; i += 1) {
    const log = failures * (onFailure[i] as number) + successes * (onSuccess[i] as number);
    if (log > largest) largest = log;
  }
  let sum = 0;
  for (let i = 0; i < RATIOS.length; i += 1) {
    sum += Math.exp(failures * (onFailure[i] as number) + successes * (onSuccess[i] as number) - largest);
  }
  return largest + Math.log(sum / RATIOS.length);
}

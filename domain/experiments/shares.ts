/**
 * Shares of traffic in whole basis points that always add up to 10,000, and how fast a bandit may move them.
 */
import { SlipwayError } from '../errors.ts';
import { FULL_WEIGHT } from '../routing/route.ts';

/** Basis points in the order of the experiment's arms. */
export type Shares = readonly number[];

/** Shares in force from `atMs` on. */
export interface SharesAt {
  readonly atMs: number;
  readonly shares: Shares;
}

const MINUTE_MS = 60_000;

export function evenShares(arms: number): Shares {
  return wholeShares(Array.from({ length: arms }, () => 1 / arms));
}

/**
 * The probabilities of `wanted` mixed with an even share, so that each arm has at least `floor`/arms: the exploration
 * that never ends, and the least propensity that an evaluation later divides by.
 */
export function withFloor(wanted: readonly number[], floor: number): Shares {
  return wholeShares(wanted.map((probability) => floor / wanted.length + (1 - floor) * probability));
}

/** Largest remainders; of equal ones the first. */
function wholeShares(fractions: readonly number[]): Shares {
  const exact = fractions.map((fraction) => fraction * FULL_WEIGHT);
  const shares = exact.map(Math.floor);
  const missing = FULL_WEIGHT - shares.reduce((sum, share) => sum + share, 0);
  if (!(missing >= 0 && missing <= shares.length)) {
    throw new SlipwayError('INVALID_PARAMETER', `shares must add up to 1: ${fractions.join(', ')}`);
  }
  byRemainder(exact)
    .slice(0, missing)
    .forEach((index) => (shares[index] = (shares[index] as number) + 1));
  return shares;
}

function byRemainder(values: readonly number[]): readonly number[] {
  const remainder = (index: number): number =>
    (values[index] as number) - Math.floor(values[index] as number);
  return values.map((_, index) => index).sort((i, j) => remainder(j) - remainder(i) || i - j);
}

/**
 * As far from the latest shares towards `target` as keeps each arm within `stepBp` of every share that it had during
 * the last minute: so over *any* minute no share moves by more, however irregular the snapshots are. All arms
 * move by the same fraction of their way.
 *
 * @param recent what `rememberShares` gave, oldest first; not empty.
 */
export function moveShares(
  recent: readonly SharesAt[],
  target: Shares,
  nowMs: number,
  stepBp: number,
): Shares {
  const latest = (recent.at(-1) as SharesAt).shares;
  const inForce = lastMinute(recent, nowMs);
  let fraction = 1;
  target.forEach((goal, arm) => {
    const now = latest[arm] as number;
    let lowest = 0;
    let highest = FULL_WEIGHT;
    for (const { shares } of inForce) {
      lowest = Math.max(lowest, (shares[arm] as number) - stepBp);
      highest = Math.min(highest, (shares[arm] as number) + stepBp);
    }
    if (goal > highest) fraction = Math.min(fraction, Math.max(0, (highest - now) / (goal - now)));
    if (goal < lowest) fraction = Math.min(fraction, Math.max(0, (lowest - now) / (goal - now)));
  });
  return wholeMoves(latest, target, fraction);
}

/** Moves are cut towards zero; the arms with the largest cut parts then take what is missing from the sum. */
function wholeMoves(from: Shares, target: Shares, fraction: number): Shares {
  if (fraction === 1) return target;
  const moves = target.map((goal, arm) => (goal - (from[arm] as number)) * fraction);
  const shares = moves.map((move, arm) => (from[arm] as number) + Math.trunc(move));
  let missing = FULL_WEIGHT - shares.reduce((sum, share) => sum + share, 0);
  const sign = Math.sign(missing);
  const cut = moves.map((move) => Math.max(0, sign * (move - Math.trunc(move))));
  for (const index of cut
    .map((_, arm) => arm)
    .sort((i, j) => (cut[j] as number) - (cut[i] as number) || i - j)) {
    if (missing === 0) break;
    shares[index] = (shares[index] as number) + sign;
    missing -= sign;
  }
  return shares;
}

/** Keeps what was in force at some time within the minute before `nowMs`, and `shares` from now on. */
export function rememberShares(
  recent: readonly SharesAt[],
  shares: Shares,
  nowMs: number,
): readonly SharesAt[] {
  const kept = lastMinute(recent, nowMs);
  const latest = kept.at(-1);
  // A row says from when on, so equal shares need none; this keeps the state small however often one looks.
  const same = latest !== undefined && latest.shares.every((share, arm) => share === shares[arm]);
  return same ? kept : [...kept, { atMs: nowMs, shares }];
}

/** Includes the one that was in force when the minute began. */
function lastMinute(recent: readonly SharesAt[], nowMs: number): readonly SharesAt[] {
  return recent.filter((_, index) => {
    const next = recent[index + 1];
    return next === undefined || next.atMs > nowMs - MINUTE_MS;
  });
}

/**
 * Which of the 10,000 buckets belong to which arm, and how they change hands when shares change.
 *
 * Only what must move moves: an arm that shrinks keeps all but what it gives up, an arm that grows keeps all it has, so
 * the users that change their arm are exactly those by which arms grow. A giver parts with the buckets nearest to the
 * taker's place in the order of arms: the lowest when the taker comes before it, else the highest. With two arms the first
 * therefore always has the buckets below its share, as in a canary.
 *
 * With more arms the ranges depend on the former ones, not on the shares alone: store them with the route.
 */
import { SlipwayError } from '../errors.ts';
import { FULL_WEIGHT } from '../routing/route.ts';

/** Buckets `from` … `to` − 1. Ranges are in order and cover 0 … 9,999 without gaps. */
export interface BucketRange {
  readonly from: number;
  readonly to: number;
  /** Index of the arm. */
  readonly arm: number;
}

/** The first arm from bucket 0 on, the next one after it, and so on. */
export function startRanges(shares: readonly number[]): readonly BucketRange[] {
  requireShares(shares);
  const ranges: BucketRange[] = [];
  let from = 0;
  shares.forEach((share, arm) => {
    if (share > 0) ranges.push({ from, to: from + share, arm });
    from += share;
  });
  return ranges;
}

/** The ranges for `shares` that take the fewest buckets from their arms. */
export function moveRanges(
  ranges: readonly BucketRange[],
  shares: readonly number[],
): readonly BucketRange[] {
  requireShares(shares);
  const table = bucketTable(ranges);
  // An arm that the new shares don't have gives up everything.
  const arms = Math.max(shares.length, ...ranges.map(({ arm }) => arm + 1));
  const owners = Array.from({ length: arms }, (_, arm) => ({ arm, left: -(shares[arm] ?? 0) }));
  for (const arm of table) (owners[arm] as { left: number }).left += 1;
  for (const taker of owners) {
    for (const giver of owners) {
      const count = Math.min(-taker.left, giver.left);
      if (count <= 0) continue;
      handOver(table, giver.arm, taker.arm, count);
      taker.left += count;
      giver.left -= count;
    }
  }
  return rangesOf(table);
}

function handOver(table: Uint8Array, giver: number, taker: number, count: number): void {
  const step = taker < giver ? 1 : -1;
  let left = count;
  for (let bucket = step === 1 ? 0 : table.length - 1; left > 0; bucket += step) {
    if (table[bucket] !== giver) continue;
    table[bucket] = taker;
    left -= 1;
  }
}

/** The arm of each bucket: what a request is looked up in. */
export function bucketTable(ranges: readonly BucketRange[]): Uint8Array {
  const table = new Uint8Array(FULL_WEIGHT);
  let next = 0;
  for (const { from, to, arm } of ranges) {
    if (from !== next || !(to > from) || to > FULL_WEIGHT || !(arm >= 0 && arm < 256)) break;
    table.fill(arm, from, to);
    next = to;
  }
  if (next !== FULL_WEIGHT) {
    throw new SlipwayError(
      'INVALID_PARAMETER',
      `bucket ranges must cover 0 to ${FULL_WEIGHT} in order without gaps`,
    );
  }
  return table;
}

function rangesOf(table: Uint8Array): readonly BucketRange[] {
  const ranges: BucketRange[] = [];
  let from = 0;
  for (let bucket = 1; bucket <= table.length; bucket += 1) {
    if (bucket < table.length && table[bucket] === table[from]) continue;
    ranges.push({ from, to: bucket, arm: table[from] as number });
    from = bucket;
  }
  return ranges;
}

function requireShares(shares: readonly number[]): void {
  const whole = shares.every((share) => Number.isInteger(share) && share >= 0);
  const sum = shares.reduce((total, share) => total + share, 0);
  if (!whole || sum !== FULL_WEIGHT || shares.length > 256) {
    throw new SlipwayError(
      'INVALID_PARAMETER',
      `shares must be whole basis points that add up to ${FULL_WEIGHT}: ${shares.join(', ')}`,
    );
  }
}

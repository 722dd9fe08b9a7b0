/**
 * Sticky buckets: a unit (user, account, device) always falls into the same one of 10,000 for one salt, and an arm
 * of weight w takes the buckets below w. So raising the weight only adds units, and no unit ever goes back and forth.
 */
import { FULL_WEIGHT } from '../../domain/routing/route.ts';

/** FNV-1a over both bytes of each UTF-16 unit, started from `seed`. */
function fnv1a(seed: number, text: string): number {
  let hash = seed;
  for (let i = 0; i < text.length; i += 1) {
    const unit = text.charCodeAt(i);
    hash = Math.imul(hash ^ (unit & 0xff), 0x01000193);
    hash = Math.imul(hash ^ (unit >>> 8), 0x01000193);
  }
  return hash;
}

/** The salt's part of the hash, computed once per route. The closing 0 byte keeps `ab`+`c` apart from `a`+`bc`. */
export function saltState(salt: string): number {
  return Math.imul(fnv1a(0x811c9dc5, salt), 0x01000193);
}

/** 0–9,999. FNV alone leaves the last character in the low bits; the finaliser (murmur3's) mixes them. */
export function bucketOf(state: number, unit: string): number {
  let hash = fnv1a(state, unit);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) % FULL_WEIGHT;
}

/**
 * Which requests are turned away as long as there is too much (after DAGOR, Tencent 2018): all below one level in an
 * order of classes and, in a class, of groups of users. It follows the traffic window by window, so that the classes
 * above the level hardly ever meet a full gateway, whatever comes in one turn of the event loop.
 *
 * Users stay in their group for an hour: the same few are turned away meanwhile, instead of everybody now and then, who
 * would all retry.
 */
import { bucketOf, saltState } from '../routing/bucket.ts';
import { CRITICAL } from './priority.ts';
import type { Priority } from './priority.ts';

export const BANDS = 32;
/** Critical requests are above every level. */
const TOP = CRITICAL * BANDS;
const HOUR_MS = 3_600_000;
const BUCKETS = 10_000;

/** Share of the past that a window keeps: smooth enough for turns that are as long as a window. */
const MEMORY = 0.7;
/** Of the requests that passed the level, this share may still meet a full gateway. */
const TOLERATED = 0.02;
const FALL = 0.95;
const RISE = 1.05;
/** Groups in one window. */
const MAX_RISE = 16;
const MIN_FALL = 2;

export class ShedLevel {
  readonly #arrived = new Float64Array(TOP + BANDS);
  #level = 0;
  #admitted = 0;
  #admittedNow = 0;
  #turnedAway = 0;
  #wasFull = false;
  #hour = -1;
  #salt = 0;
  #anonymous = 0;

  /** Requests of a rank below are shed; 0 is nobody. */
  get level(): number {
    return this.#level;
  }

  /** Place of a request in the order, 0 is shed first. Requests without a user take turns. */
  rank(priority: Priority, unit: string | undefined, nowUnixMs: number): number {
    if (unit === undefined || unit === '') {
      // 13 and 32 have no common factor, so that all groups come in turn but neighbours are far apart.
      this.#anonymous = (this.#anonymous + 13) % BANDS;
      return priority * BANDS + this.#anonymous;
    }
    const hour = Math.floor(nowUnixMs / HOUR_MS);
    if (hour !== this.#hour) {
      this.#hour = hour;
      this.#salt = saltState(`shed first in hour ${hour}`);
    }
    return priority * BANDS + Math.floor((bucketOf(this.#salt, unit) * BANDS) / BUCKETS);
  }

  /** Counts an arrival. @returns whether it is shed. */
  sheds(rank: number): boolean {
    this.#arrived[rank] = (this.#arrived[rank] as number) + 1;
    return rank < this.#level;
  }

  admitted(): void {
    this.#admitted += 1;
    this.#admittedNow += 1;
  }

  /** One that passed the level and met a full gateway all the same. */
  turnedAway(): void {
    this.#turnedAway += 1;
  }

  /** At the end of a window. */
  update(): void {
    const full = this.#turnedAway > TOLERATED * this.#admittedNow && this.#turnedAway >= 1;
    // A stall of the machine fills one window with requests that are too old; too much traffic fills the next as well.
    if (full && this.#wasFull) {
      const wanted = this.#levelFor(this.#admitted * FALL);
      this.#level = Math.max(this.#level, Math.min(wanted, this.#level + MAX_RISE));
    } else if (!full && this.#level > 0) {
      // Some groups more at least: with few admitted, nothing but a trial tells that there is room again.
      const wanted = this.#levelFor(this.#admitted * RISE);
      this.#level = Math.max(0, Math.min(this.#level - MIN_FALL, wanted));
    }
    this.#wasFull = full;
    this.#turnedAway = 0;
    this.#admittedNow = 0;
    for (let rank = 0; rank < this.#arrived.length; rank += 1) {
      this.#arrived[rank] = (this.#arrived[rank] as number) * MEMORY;
    }
    this.#admitted *= MEMORY;
  }

  /** The lowest level above which no more than `target` have arrived. */
  #levelFor(target: number): number {
    let above = 0;
    for (let rank = this.#arrived.length - 1; rank >= 0; rank -= 1) {
      above += this.#arrived[rank] as number;
      if (above > target) return Math.min(TOP, rank + 1);
    }
    return 0;
  }
}

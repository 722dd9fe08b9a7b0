/**
 * When rejecting takes too much of the event loop: callers whose requests are all turned away, one after the other,
 * get their 429 a little later. A connection that waits sends nothing, so a flood over its own connections is slowed
 * down to a few requests a second each, without being read.
 *
 * Only such callers. In a simulation of the loop at twice the capacity, holding every rejection for 25 ms cut the
 * goodput of callers with a common pool of 256 connections from 34 % to 8 %, since their critical requests found no
 * connection free; pausing sockets is the same, with requests in it that nobody has looked at.
 */
import type { ServerResponse } from 'node:http';
import type { Admission } from './admission.ts';
import { writeRejection } from './rejection.ts';
import type { Rejection } from './rejection.ts';

/** Share of the loop's time, with hysteresis. */
const ACTIVE_FROM = 0.3;
const ACTIVE_TO = 0.2;
/** Rejections without an answer between them. Where one request in five is admitted, one row in 1,300 is so long. */
export const STREAK = 32;
const HOLD_MS = 100;
/** Held answers are sent together. */
const TICK_MS = 10;

const REJECTED = Symbol('rejected in a row');

interface Connection {
  [REJECTED]?: number;
}

interface Held {
  readonly response: ServerResponse;
  readonly rejection: Rejection;
  readonly untilMs: number;
}

export class BackPressure {
  readonly #admission: Pick<Admission, 'rejectShare'>;
  readonly #now: () => number;
  #active = false;
  #held: Held[] = [];
  #timer: NodeJS.Timeout | null = null;

  constructor(admission: Pick<Admission, 'rejectShare'>, now: () => number) {
    this.#admission = admission;
    this.#now = now;
  }

  get held(): number {
    return this.#held.length;
  }

  admitted(response: ServerResponse): void {
    const connection = response.socket as Connection | null;
    if (connection !== null && connection[REJECTED] !== undefined) connection[REJECTED] = 0;
  }

  reject(response: ServerResponse, rejection: Rejection): void {
    this.#active = this.#admission.rejectShare > (this.#active ? ACTIVE_TO : ACTIVE_FROM);
    const connection = response.socket as Connection | null;
    if (!this.#active || connection === null) return writeRejection(response, rejection);
    const row = (connection[REJECTED] ?? 0) + 1;
    connection[REJECTED] = row;
    if (row < STREAK) return writeRejection(response, rejection);
    this.#held.push({ response, rejection, untilMs: this.#now() + HOLD_MS });
    this.#timer ??= setInterval(() => this.#release(this.#now()), TICK_MS);
  }

  /** Sends what is held, at the end. */
  close(): void {
    this.#release(Infinity);
  }

  #release(now: number): void {
    let done = 0;
    for (; done < this.#held.length; done += 1) {
      const { response, rejection, untilMs } = this.#held[done] as Held;
      if (untilMs > now) break;
      if (!response.destroyed) writeRejection(response, rejection);
    }
    this.#held = this.#held.slice(done);
    if (this.#held.length > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }
}

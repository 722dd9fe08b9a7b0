/**
 * How long a request has waited before the gateway saw it: in the socket's buffer, while the event loop was busy with
 * other requests. Under overload most of the wait is there, where no queue of ours counts it.
 *
 * Requests of one turn of the loop have arrived since the loop last looked at its sockets. That was at the turn
 * before, unless the loop has slept since: then they have only just come.
 */
import type { LoopProbe } from './loop-probe.ts';

/** Reading sockets in a turn that has nothing to do counts as a few microseconds of sleep. */
const SLEPT_MS = 0.02;

export class LoopTurns {
  readonly #probe: Pick<LoopProbe, 'idleMs' | 'afterTurn'>;
  #inTurn = false;
  #turnStartMs = -Infinity;
  #idleAtStart = 0;
  #waitedSinceMs = -Infinity;
  #lastTurnMs = 0;
  readonly #endTurn = (): void => {
    this.#inTurn = false;
  };

  constructor(probe: Pick<LoopProbe, 'idleMs' | 'afterTurn'>) {
    this.#probe = probe;
  }

  /** Longest time that a request which is seen now can have waited. */
  ageMs(nowMs: number): number {
    if (!this.#inTurn) {
      this.#inTurn = true;
      this.#probe.afterTurn(this.#endTurn);
      const idle = this.#probe.idleMs();
      const slept = idle - this.#idleAtStart > SLEPT_MS || this.#turnStartMs === -Infinity;
      this.#waitedSinceMs = slept ? nowMs : this.#turnStartMs;
      this.#lastTurnMs = slept ? 0 : nowMs - this.#turnStartMs;
      this.#turnStartMs = nowMs;
      this.#idleAtStart = idle;
    }
    return nowMs - this.#waitedSinceMs;
  }

  /**
   * How much longer this turn will last, if it is like the one before: nothing is answered before its end, since all
   * sockets are read first.
   */
  restMs(nowMs: number): number {
    return Math.max(0, this.#lastTurnMs - (nowMs - this.#turnStartMs));
  }
}

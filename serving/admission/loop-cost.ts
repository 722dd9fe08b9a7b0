/**
 * What one request costs the event loop, all told: reading, parsing, an inline run, answering. And what one rejection
 * costs. From the loop's busy time in each window, which no clock in a handler sees whole: half of it is spent in
 * the parser and in the kernel.
 */
const WEIGHT = 0.2;
const MIN_REQUESTS = 20;
/** Until it is measured; of the order of what a request with a small model costs. */
const INITIAL_MS = 0.1;
/** A rejection skips the body, the model and the answer. */
const INITIAL_REJECT_SHARE = 0.35;

export class LoopCost {
  #admitted = INITIAL_MS;
  #rejected = INITIAL_MS * INITIAL_REJECT_SHARE;
  #measured = false;

  get admittedMs(): number {
    return this.#admitted;
  }

  get rejectedMs(): number {
    return this.#rejected;
  }

  /** A window with its busy time and what it was spent on. */
  window(busyMs: number, answered: number, rejected: number): void {
    // One of the two must be known to tell the other, so each is learned where it prevails.
    if (answered >= MIN_REQUESTS && rejected * 10 < answered) {
      const sample = Math.max(0, busyMs - rejected * this.#rejected) / answered;
      this.#admitted = this.#measured ? this.#admitted + (sample - this.#admitted) * WEIGHT : sample;
      this.#measured = true;
    } else if (answered + rejected >= MIN_REQUESTS) {
      const sample = (busyMs - answered * this.#admitted) / Math.max(1, rejected);
      const bounded = Math.min(this.#admitted / 2, Math.max(this.#admitted / 10, sample));
      this.#rejected += (bounded - this.#rejected) * WEIGHT;
      // What that does not explain has changed for both, such as batches that are fuller under load.
      const explained = answered * this.#admitted + rejected * this.#rejected;
      const change = Math.min(2, Math.max(0.5, busyMs / explained));
      this.#admitted *= 1 + (change - 1) * WEIGHT;
      this.#rejected *= 1 + (change - 1) * WEIGHT;
    }
  }
}

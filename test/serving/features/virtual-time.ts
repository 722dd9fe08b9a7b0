/** A clock that moves when it is told to, and timers that follow it. */
import type { Clock } from '../../../platform/clock.ts';
import type { FeatureTimers } from '../../../serving/features/feature-timers.ts';

interface Due {
  readonly atMs: number;
  readonly work: () => void;
}

export class VirtualTime implements Clock, FeatureTimers {
  #ms = 1_000_000;
  readonly #due = new Set<Due>();

  now(): number {
    return 1_700_000_000_000 + this.#ms;
  }

  monotonic(): number {
    return this.#ms;
  }

  soon(work: () => void): void {
    this.#due.add({ atMs: this.#ms, work });
  }

  after(ms: number, work: () => void): () => void {
    const due = { atMs: this.#ms + ms, work };
    this.#due.add(due);
    return () => void this.#due.delete(due);
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.after(ms, resolve));
  }

  /** Everything that is due until then happens in order, each with the promises that it settles. */
  async advance(ms: number): Promise<void> {
    const end = this.#ms + ms;
    await settled();
    for (;;) {
      const [next] = [...this.#due].filter(({ atMs }) => atMs <= end).toSorted((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.#due.delete(next);
      this.#ms = Math.max(this.#ms, next.atMs);
      next.work();
      await settled();
    }
    this.#ms = end;
  }
}

/** Promises that are settled have told everyone who waits for them. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A session and the batches that are under way in it. A session is retired only when none is. */
import type { ModelSession } from '../models/model-session.ts';

/** The way to a thread and back changes with the machine's load; its estimate follows within some ten batches. */
const HOP_SMOOTHING = 0.1;

export class Lane {
  readonly session: ModelSession;
  inFlight = 0;
  /** What a batch spends on the way to the model and back. */
  hopMs = 0;
  /** When the batches under way should be done; monotonic. */
  busyUntilMs = 0;
  #retired: Promise<void> | null = null;
  #idle: (() => void) | null = null;

  constructor(session: ModelSession) {
    this.session = session;
  }

  get free(): boolean {
    return this.inFlight < this.session.concurrency;
  }

  enter(): void {
    this.inFlight += 1;
  }

  leave(): void {
    this.inFlight -= 1;
    if (this.inFlight === 0) this.#idle?.();
  }

  measureHop(totalMs: number, runMs: number): void {
    if (this.session.placement === 'inline') return;
    const ms = Math.max(0, totalMs - runMs);
    this.hopMs = this.hopMs === 0 ? ms : this.hopMs + HOP_SMOOTHING * (ms - this.hopMs);
  }

  retire(): Promise<void> {
    this.#retired ??= this.#retireWhenIdle();
    return this.#retired;
  }

  async #retireWhenIdle(): Promise<void> {
    while (this.inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
    await this.session.retire();
  }
}

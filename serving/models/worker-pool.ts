/**
 * The threads of one model version, seen as one session. It starts with one and grows, up to its limit, while requests
 * keep waiting for a free one. A thread is replaced by a fresh one when it is due: beside it, so that nothing waits.
 *
 * Why threads are replaced: ONNX Runtime keeps the memory of its largest batches until the session is freed, and some
 * of that of sessions that were loaded and freed in the same process. Growth counts from the last replacement on,
 * whichever thread that was: memory that a replacement could not give back must not cause the next one.
 */
import { SlipwayError } from '../../domain/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { ModelSession, RunOutput } from './model-session.ts';
import { executorFailed } from './run-failure.ts';
import type { WorkerSession } from './worker-session.ts';

/** What all versions of a process share: what their threads are replaced by. */
export class ProcessGrowth {
  readonly #rssBytes: () => number;
  readonly #limits: GrowthLimits;
  /** Versions that were loaded since the process started. */
  swaps = 0;
  #baseBytes = 0;

  constructor(limits: GrowthLimits, rssBytes: () => number) {
    this.#limits = limits;
    this.#rssBytes = rssBytes;
  }

  mark(): GrowthMark {
    return { swaps: this.swaps, rssBytes: this.#rssBytes() };
  }

  isDue(since: GrowthMark): boolean {
    if (this.swaps - since.swaps >= this.#limits.afterSwaps) return true;
    return this.#rssBytes() - Math.max(since.rssBytes, this.#baseBytes) >= this.#limits.growthBytes;
  }

  replaced(): void {
    this.#baseBytes = this.#rssBytes();
  }
}

export interface GrowthLimits {
  readonly afterSwaps: number;
  readonly growthBytes: number;
}

export const DEFAULT_GROWTH_LIMITS: GrowthLimits = { afterSwaps: 20, growthBytes: 256 * 1024 * 1024 };

interface GrowthMark {
  readonly swaps: number;
  readonly rssBytes: number;
}

export interface WorkerPoolOptions {
  readonly maxWorkers: number;
  /** Loads and verifies the version once more; `onLost` is for the thread that it gives. */
  readonly spawn: (onLost: () => void) => Promise<WorkerSession>;
  readonly growth: ProcessGrowth;
  readonly clock: Clock;
  /** The last thread has ended although the pool was not retired. */
  readonly onLost: () => void;
  readonly onProblem: (error: unknown) => void;
  readonly onRecycled: () => void;
}

interface Member {
  session: WorkerSession;
  running: number;
  readonly since: GrowthMark;
}

/** Requests that found all threads busy within one window: less is a burst that the present threads work off. */
const DEMANDS_TO_GROW = 50;
const WINDOW_MS = 1000;
/** After a thread could not be started. */
const RETRY_MS = 30_000;

export class WorkerPool implements ModelSession {
  readonly placement = 'worker';
  readonly #options: WorkerPoolOptions;
  #members: Member[] = [];
  readonly #leaving = new Set<Promise<void>>();
  #spawning: Promise<void> | null = null;
  #demands = 0;
  #windowEndMs = 0;
  #notBeforeMs = 0;
  #retired: Promise<void> | null = null;

  /** Its first thread reports its end to `lost`. */
  constructor(first: WorkerSession, options: WorkerPoolOptions) {
    this.#options = options;
    this.#members = [this.#member(first)];
  }

  get concurrency(): number {
    return Math.max(1, this.#members.length);
  }

  run(features: Float32Array, rows: number): Promise<RunOutput> {
    let least = this.#members[0];
    for (const member of this.#members)
      if (least !== undefined && member.running < least.running) least = member;
    if (least === undefined) return Promise.reject(executorFailed('the threads of the model have ended'));
    return this.#runOn(least, features, rows);
  }

  async #runOn(member: Member, features: Float32Array, rows: number): Promise<RunOutput> {
    member.running += 1;
    try {
      return await member.session.run(features, rows);
    } finally {
      member.running -= 1;
    }
  }

  demand(): void {
    const { clock, maxWorkers } = this.#options;
    if (this.#members.length >= maxWorkers || this.#spawning !== null) return;
    const now = clock.monotonic();
    if (now >= this.#windowEndMs) {
      this.#windowEndMs = now + WINDOW_MS;
      this.#demands = 0;
    }
    this.#demands += 1;
    if (this.#demands >= DEMANDS_TO_GROW && now >= this.#notBeforeMs) this.#spawn(null);
  }

  /** Replaces a thread that is due; to be called now and then. */
  maintain(): void {
    const { growth, clock } = this.#options;
    if (this.#spawning !== null || this.#retired !== null || clock.monotonic() < this.#notBeforeMs) return;
    const due = this.#members.find(({ since }) => growth.isDue(since));
    if (due !== undefined) this.#spawn(due);
  }

  /** `session` ended without having been told to. */
  lost(session: WorkerSession): void {
    const left = this.#members.filter((member) => member.session !== session);
    if (left.length === this.#members.length) return;
    this.#members = left;
    if (left.length === 0 && this.#retired === null) this.#options.onLost();
  }

  retire(): Promise<void> {
    this.#retired ??= this.#retireAll();
    return this.#retired;
  }

  #spawn(replaced: Member | null): void {
    this.#spawning = this.#spawnOne(replaced).finally(() => {
      this.#spawning = null;
    });
  }

  async #spawnOne(replaced: Member | null): Promise<void> {
    const { spawn, growth, onProblem, onRecycled, clock } = this.#options;
    try {
      let ended = false;
      let onEnd = (): void => {
        ended = true;
      };
      const session = await spawn(() => onEnd());
      onEnd = () => this.lost(session);
      if (ended)
        throw new SlipwayError('MODEL_LOAD_FAILED', 'a thread ended right after it had loaded its model');
      // Lost meanwhile: the version is loaded anew, and nobody would ever retire this thread.
      const unwanted = this.#members.length === 0 || (replaced !== null && !this.#members.includes(replaced));
      if (this.#retired !== null || unwanted) {
        return await session.retire();
      }
      this.#members = [...this.#members.filter((member) => member !== replaced), this.#member(session)];
      if (replaced === null) return;
      this.#leave(replaced.session.retire().then(() => growth.replaced()));
      onRecycled();
    } catch (error) {
      // The threads that there are go on.
      this.#notBeforeMs = clock.monotonic() + RETRY_MS;
      onProblem(error);
    }
  }

  #member(session: WorkerSession): Member {
    return { session, running: 0, since: this.#options.growth.mark() };
  }

  #leave(left: Promise<void>): void {
    this.#leaving.add(left);
    void left.then(() => this.#leaving.delete(left));
  }

  async #retireAll(): Promise<void> {
    await Promise.all(this.#members.map(({ session }) => session.retire()));
    await this.#spawning;
    await Promise.all(this.#leaving);
  }
}

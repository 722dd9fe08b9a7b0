/**
 * Asks the store: once for a key whatever the number of requests that wait for it, and in one read for all keys that
 * were missed in one turn of the event loop. A read that does not end is given up, so that it cannot hold its place
 * for ever.
 */
import { SlipwayError } from '../../domain/errors.ts';
import { isStorableKey } from '../../domain/features/online-row.ts';
import type { OnlineRow } from '../../domain/features/online-row.ts';
import type { Clock } from '../../platform/clock.ts';
import { CachedRow } from './feature-cache.ts';
import type { CachedView, FeatureCache } from './feature-cache.ts';
import type { FeatureMetrics, ReadOutcome } from './feature-metrics.ts';
import type { FeatureTimers } from './feature-timers.ts';
import type { OnlineStore, ViewRead } from './online-store.ts';

export interface LoaderOptions {
  readonly store: OnlineStore;
  readonly cache: FeatureCache;
  readonly clock: Clock;
  readonly timers: FeatureTimers;
  readonly rng: () => number;
  readonly metrics: FeatureMetrics;
  readonly refreshMs: number;
  /** When a read is given up, ms. */
  readonly abandonMs: number;
  readonly onReadFailed: (error: unknown) => void;
}

/** Two reads at once hide most of a round trip; more only queue inside the store. */
const MAX_READS = 4;
const MAX_KEYS_PER_READ = 1000;
/** Keys that wait for a read; what comes beyond is refused at once, for it would not be answered in time anyway. */
const MAX_QUEUED = 20_000;
/** Keys that were read together must not all come due together. */
const JITTER = 0.1;

/** One key on its way. */
export class Load {
  readonly view: CachedView;
  readonly key: string;
  /** What came of it; null while it is on its way, and when it failed. */
  row: CachedRow | null = null;
  pending = true;
  readonly #waiting: LoadGroup[] = [];

  constructor(view: CachedView, key: string) {
    this.view = view;
    this.key = key;
  }

  join(group: LoadGroup): void {
    this.#waiting.push(group);
  }

  settle(row: CachedRow | null): void {
    this.row = row;
    this.pending = false;
    for (const group of this.#waiting) group.settled();
  }
}

/** The keys that one request waits for. */
export class LoadGroup {
  #left = 0;
  #done: (() => void) | null = null;

  add(load: Load): void {
    if (!load.pending) return;
    this.#left += 1;
    load.join(this);
  }

  settled(): void {
    this.#left -= 1;
    if (this.#left === 0) this.#done?.();
  }

  onceDone(done: () => void): void {
    this.#done = done;
    if (this.#left === 0) done();
  }
}

export class FeatureLoader {
  readonly #options: LoaderOptions;
  readonly #pending = new Map<CachedView, Map<string, Load>>();
  readonly #queue: Load[] = [];
  #reads = 0;
  #scheduled = false;

  constructor(options: LoaderOptions) {
    this.#options = options;
  }

  load(view: CachedView, key: string): Load {
    let pending = this.#pending.get(view);
    if (pending === undefined) this.#pending.set(view, (pending = new Map()));
    const present = pending.get(key);
    if (present !== undefined) return present;
    const load = new Load(view, key);
    if (!isStorableKey(key)) {
      // Not kept: such a key may be as long as a request.
      load.settle(new CachedRow(view, ''));
    } else if (this.#queue.length >= MAX_QUEUED) {
      load.settle(null);
    } else {
      pending.set(key, load);
      this.#queue.push(load);
      this.#schedule();
    }
    return load;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#options.timers.soon(() => {
      this.#scheduled = false;
      this.#start();
    });
  }

  #start(): void {
    while (this.#queue.length > 0 && this.#reads < MAX_READS) {
      this.#reads += 1;
      this.#read(this.#queue.splice(0, MAX_KEYS_PER_READ));
    }
  }

  #read(loads: readonly Load[]): void {
    const { store, clock, timers, abandonMs, metrics, onReadFailed } = this.#options;
    const startedMs = clock.monotonic();
    let over = false;
    const end = (outcome: ReadOutcome, settle: () => void): void => {
      if (over) return;
      over = true;
      callOff();
      metrics.storeRead(outcome, loads.length, clock.monotonic() - startedMs);
      this.#reads -= 1;
      settle();
      if (this.#queue.length > 0) this.#schedule();
    };
    const fail = (): void => loads.forEach((load) => this.#settle(load, null));
    const callOff = timers.after(abandonMs, () => {
      end('abandoned', fail);
      onReadFailed(
        new SlipwayError('UNAVAILABLE', `the feature store did not answer within ${abandonMs} ms`),
      );
    });
    const byView = groupByView(loads);
    readFrom(store, byView).then(
      (answers) => end('ok', () => this.#store(byView, answers, startedMs)),
      (error: unknown) => {
        // It was given up, and said so, before.
        if (over) return;
        end('failed', fail);
        onReadFailed(error);
      },
    );
  }

  #store(
    byView: ReadonlyMap<CachedView, readonly Load[]>,
    answers: readonly (readonly (OnlineRow | null)[])[],
    startedMs: number,
  ): void {
    const { cache, rng, refreshMs } = this.#options;
    let viewIndex = 0;
    for (const [view, loads] of byView) {
      const rows = answers[viewIndex];
      viewIndex += 1;
      loads.forEach((load, index) => {
        const stored = rows?.[index] ?? null;
        const dueMs = startedMs + refreshMs * (1 - JITTER * rng());
        // What the store said is as old as the question.
        this.#settle(load, cache.put(view, load.key, stored, startedMs, dueMs));
      });
    }
  }

  #settle(load: Load, row: CachedRow | null): void {
    this.#pending.get(load.view)?.delete(load.key);
    load.settle(row);
  }
}

function groupByView(loads: readonly Load[]): ReadonlyMap<CachedView, readonly Load[]> {
  const byView = new Map<CachedView, Load[]>();
  for (const load of loads) {
    const group = byView.get(load.view);
    if (group === undefined) byView.set(load.view, [load]);
    else group.push(load);
  }
  return byView;
}

/** A store may also throw before it gives a promise. */
async function readFrom(
  store: OnlineStore,
  byView: ReadonlyMap<CachedView, readonly Load[]>,
): Promise<readonly (readonly (OnlineRow | null)[])[]> {
  const reads: ViewRead[] = [];
  for (const [view, loads] of byView) reads.push({ view: view.name, keys: loads.map(({ key }) => key) });
  return store.read(reads);
}

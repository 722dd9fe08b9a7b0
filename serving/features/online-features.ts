/** The gateway's online features: one cache and one loader over one store, a joiner for each endpoint that needs one. */
import type { FeatureSpec } from '../../domain/manifest/model-manifest.ts';
import type { FeatureViewSpec } from '../../domain/manifest/serving-spec.ts';
import { systemClock } from '../../platform/clock.ts';
import type { Clock } from '../../platform/clock.ts';
import { explain } from '../log.ts';
import type { GatewayLog } from '../log.ts';
import { FeatureCache } from './feature-cache.ts';
import type { CachedView } from './feature-cache.ts';
import { FeatureJoiner } from './feature-joiner.ts';
import { FeatureLoader, LoadGroup } from './feature-loader.ts';
import { FeatureCounters } from './feature-metrics.ts';
import type { FeatureMetrics } from './feature-metrics.ts';
import { planFeatures } from './feature-plan.ts';
import { SYSTEM_TIMERS } from './feature-timers.ts';
import type { FeatureTimers } from './feature-timers.ts';
import type { OnlineStore } from './online-store.ts';

export interface FeatureSettings {
  /** How long a request waits for the store, at most. */
  readonly timeoutMs: number;
  /** How old the store's answer may be before the store is asked again. */
  readonly refreshMs: number;
  readonly capacity: number;
  readonly negativeMs: number;
  readonly maxRevalidateMs: number;
  /** How long a start may take over warming the cache. */
  readonly warmUpMs: number;
  readonly noteHeatMs: number;
}

export const FEATURE_SETTINGS: FeatureSettings = {
  timeoutMs: 50,
  refreshMs: 5000,
  capacity: 100_000,
  negativeMs: 1000,
  maxRevalidateMs: 30_000,
  warmUpMs: 10_000,
  noteHeatMs: 60_000,
};

export interface OnlineFeaturesOptions {
  readonly store: OnlineStore;
  readonly metrics: FeatureMetrics;
  readonly log: GatewayLog;
  readonly settings?: Partial<FeatureSettings>;
  readonly clock?: Clock;
  readonly timers?: FeatureTimers;
  readonly rng?: () => number;
}

/** Hottest keys that are warmed and noted for each view. */
const HOTTEST = 10_000;
const KEYS_PER_WARM_UP = 500;
/** A read that takes this many times what a request waits for it will not end. */
const ABANDON = 20;

export class OnlineFeatures {
  readonly counters = new FeatureCounters();
  readonly #cache: FeatureCache;
  readonly #loader: FeatureLoader;
  readonly #settings: FeatureSettings;
  readonly #clock: Clock;
  readonly #timers: FeatureTimers;
  readonly #options: OnlineFeaturesOptions;
  readonly #warmed = new Set<CachedView>();
  #storeFailing = false;
  #noting: Promise<void> = Promise.resolve();
  #callOffNote: (() => void) | null = null;
  #closed = false;

  constructor(options: OnlineFeaturesOptions) {
    this.#options = options;
    this.#settings = { ...FEATURE_SETTINGS, ...options.settings };
    this.#clock = options.clock ?? systemClock;
    this.#timers = options.timers ?? SYSTEM_TIMERS;
    this.#cache = new FeatureCache(this.#settings.capacity);
    this.#loader = new FeatureLoader({
      store: options.store,
      cache: this.#cache,
      clock: this.#clock,
      timers: this.#timers,
      rng: options.rng ?? Math.random,
      metrics: {
        ...options.metrics,
        storeRead: (outcome, keys, ms) => {
          if (outcome === 'ok') this.#readWorked();
          options.metrics.storeRead(outcome, keys, ms);
        },
      },
      refreshMs: this.#settings.refreshMs,
      abandonMs: this.#settings.timeoutMs * ABANDON,
      onReadFailed: (error) => this.#readFailed(error),
    });
  }

  get cachedRows(): number {
    return this.#cache.size;
  }

  get evictions(): number {
    return this.#cache.evictions;
  }

  /** Null for an endpoint whose callers send every column. */
  joiner(features: readonly FeatureSpec[], views: readonly FeatureViewSpec[]): FeatureJoiner | null {
    const plan = planFeatures(features, views, this.#cache);
    if (plan.names.length === 0) return null;
    const { timeoutMs, negativeMs, maxRevalidateMs } = this.#settings;
    return new FeatureJoiner(plan, {
      cache: this.#cache,
      loader: this.#loader,
      clock: this.#clock,
      timers: this.#timers,
      counters: this.counters,
      metrics: this.#options.metrics,
      timeoutMs,
      negativeMs,
      maxRevalidateMs,
    });
  }

  /**
   * Fills the cache with the hottest keys of every view that a joiner uses and that was not warmed yet. Never fails
   * and never takes longer than its budget: a gateway without a warm cache is slow, one that does not start is worse.
   */
  async warmUp(): Promise<void> {
    const startedMs = this.#clock.monotonic();
    const views = [...this.#cache.views].filter((view) => !this.#warmed.has(view));
    if (views.length === 0) return;
    const limit = Math.min(HOTTEST, Math.floor(this.#cache.capacity / 2 / views.length));
    const progress = { keys: 0, over: false };
    const complete = await new Promise<boolean>((resolve) => {
      const callOff = this.#timers.after(this.#settings.warmUpMs, () => resolve(false));
      void this.#warm(views, limit, progress).then((all) => {
        callOff();
        resolve(all);
      });
    });
    progress.over = true;
    this.#options.metrics.warmedUp(progress.keys, complete, this.#clock.monotonic() - startedMs);
  }

  /** Begins to tell the store now and then which keys are hot. */
  start(): void {
    if (this.#closed || this.#callOffNote !== null) return;
    this.#callOffNote = this.#timers.after(this.#settings.noteHeatMs, () => {
      this.#callOffNote = null;
      this.#noting = this.noteHeat().finally(() => this.start());
    });
  }

  /** Tells the store which keys are hot, so that also a gateway that starts elsewhere can warm them. */
  async noteHeat(): Promise<void> {
    const byView = this.#cache.takeHeat(HOTTEST, 2 * HOTTEST);
    try {
      for (const [view, heat] of byView) await this.#options.store.noteHeat(view, heat);
    } catch (error) {
      // Only the next start is slower for it.
      this.#options.log.warn({ reason: explain(error) }, 'the hottest feature keys could not be noted');
    }
  }

  /** Says a last time what is hot; the store is its owner's to close. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#callOffNote?.();
    await this.#noting;
    await this.noteHeat();
  }

  async #warm(
    views: readonly CachedView[],
    limit: number,
    progress: { keys: number; over: boolean },
  ): Promise<boolean> {
    const { store, log } = this.#options;
    try {
      for (const view of views) {
        const keys = await store.hottest(view.name, limit);
        for (let at = 0; at < keys.length && !progress.over; at += KEYS_PER_WARM_UP) {
          progress.keys += await this.#warmKeys(view, keys.slice(at, at + KEYS_PER_WARM_UP));
        }
        if (!progress.over) this.#warmed.add(view);
      }
      return true;
    } catch (error) {
      log.warn(
        { reason: explain(error) },
        'the feature cache could not be warmed; the first requests are slower',
      );
      return false;
    }
  }

  /** @returns how many of them the store answered. */
  async #warmKeys(view: CachedView, keys: readonly string[]): Promise<number> {
    const group = new LoadGroup();
    const loads = keys.map((key) => this.#loader.load(view, key));
    for (const load of loads) group.add(load);
    await new Promise<void>((resolve) => group.onceDone(resolve));
    return loads.filter(({ row }) => row !== null).length;
  }

  #readWorked(): void {
    if (this.#storeFailing) this.#options.log.info({}, 'the feature store answers again');
    this.#storeFailing = false;
  }

  #readFailed(error: unknown): void {
    if (this.#storeFailing) return;
    this.#storeFailing = true;
    this.#options.log.error(
      { reason: explain(error) },
      'the feature store failed; cached values and defaults are served as far as their policies allow',
    );
  }
}

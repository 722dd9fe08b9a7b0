/**
 * Fills the online columns of a request. What the cache may answer is answered at once, without a promise; for the
 * rest the store is asked, for as long as a request can spare. Whatever is slow, gone or wrong on the way, no value is
 * served beyond the TTL of its event time, but for the policy `stale` within its limit.
 */
import { SlipwayError } from '../../domain/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import { ABSENT } from './feature-cache.ts';
import type { CachedRow, FeatureCache } from './feature-cache.ts';
import { LoadGroup } from './feature-loader.ts';
import type { FeatureLoader, Load } from './feature-loader.ts';
import type { FeatureCounters, FeatureMetrics } from './feature-metrics.ts';
import type { FeaturePlan, PlannedFeature, PlannedView } from './feature-plan.ts';
import {
  causeOf,
  DEFAULTED,
  EXPIRED,
  FeatureStatuses,
  NOT_FOUND,
  NULL,
  PRESENT,
  STATUSES,
  UNAVAILABLE,
} from './feature-status.ts';
import type { FeatureCause } from './feature-status.ts';
import type { FeatureTimers } from './feature-timers.ts';

export interface JoinerOptions {
  readonly cache: FeatureCache;
  readonly loader: FeatureLoader;
  readonly clock: Clock;
  readonly timers: FeatureTimers;
  readonly counters: FeatureCounters;
  readonly metrics: FeatureMetrics;
  /** How long a request waits for the store, at most. */
  readonly timeoutMs: number;
  /** How long it counts that the store has no value, or no newer one. */
  readonly negativeMs: number;
  /** Age of the store's answer up to which it is used while the store is asked again. */
  readonly maxRevalidateMs: number;
}

/** Null: every value is PRESENT. */
export type JoinedFeatures = FeatureStatuses | null;

/** How often the values of one feature had one cause, and how often the default took their place then. */
export interface FeatureCount {
  readonly view: string;
  readonly feature: string;
  readonly cause: FeatureCause;
  readonly count: number;
  readonly defaulted: number;
}

type Verdict = 'serve' | 'refresh' | 'load';

/** A request waits for the store for this share of the time that it has left: a default needs time to be scored too. */
const SHARE_OF_DEADLINE = 0.5;

/** What a join needs to go on once the store has answered. */
interface Asked {
  readonly columns: Float32Array;
  readonly rows: number;
  readonly keys: readonly (readonly string[])[];
  readonly found: readonly (CachedRow | undefined)[];
  readonly loads: readonly (Load | undefined)[];
}

export class FeatureJoiner {
  /** Inputs that a request must have besides its columns: one key for each row. */
  readonly entities: readonly string[];
  readonly #plan: FeaturePlan;
  readonly #options: JoinerOptions;
  readonly #causes: Float64Array;
  readonly #defaulted: Float64Array;
  /** Rows of the request that is being joined; used again, since nothing else runs before it is done. */
  readonly #found: (CachedRow | undefined)[] = [];

  constructor(plan: FeaturePlan, options: JoinerOptions) {
    this.entities = plan.entities;
    this.#plan = plan;
    this.#options = options;
    this.#causes = new Float64Array(plan.names.length * STATUSES.length);
    this.#defaulted = new Float64Array(plan.names.length * STATUSES.length);
  }

  /**
   * @param columns row-major [rows, all columns of the model]; only the online ones are written.
   * @param keys for each of `entities`, the keys of the rows.
   * @param deadlineMs of the request, monotonic.
   * @returns at once, and not a promise, when nothing has to be asked.
   * @throws SlipwayError FEATURE_MISSING or FEATURES_UNAVAILABLE, from the promise if there is one.
   */
  join(
    columns: Float32Array,
    rows: number,
    keys: readonly (readonly string[])[],
    deadlineMs: number,
  ): JoinedFeatures | Promise<JoinedFeatures> {
    const { cache, loader, clock, counters } = this.#options;
    const { views } = this.#plan;
    const found = this.#found;
    const now = clock.now();
    const monotonic = clock.monotonic();
    let loads: (Load | undefined)[] | null = null;
    let at = 0;
    for (const planned of views) {
      const column = keys[planned.entity];
      if (column?.length !== rows) throw new TypeError(`${this.entities[planned.entity]} needs ${rows} keys`);
      for (const key of column) {
        const row = cache.get(planned.view, key);
        const verdict = this.#judge(row, planned, now, monotonic);
        found[at] = row;
        if (row !== undefined && verdict !== 'load') {
          row.hits += 1;
          if (verdict === 'refresh') {
            counters.stale += 1;
            loader.load(planned.view, key);
          } else if (row.found && now - row.eventAtMs <= planned.ttlMs) counters.hits += 1;
          else counters.negative += 1;
        } else {
          counters.misses += 1;
          (loads ??= [])[at] = loader.load(planned.view, key);
        }
        at += 1;
      }
    }
    if (loads === null) return this.#fill(columns, rows, found, null, now);
    return this.#wait({ columns, rows, keys, found: found.slice(0, at), loads }, monotonic, deadlineMs);
  }

  counts(): readonly FeatureCount[] {
    return this.#plan.views.flatMap(({ view, features }) =>
      features.flatMap(({ name, index }) =>
        STATUSES.map((cause, code) => ({
          view: view.name,
          feature: name,
          cause,
          count: this.#causes[index * STATUSES.length + code] ?? 0,
          defaulted: this.#defaulted[index * STATUSES.length + code] ?? 0,
        })),
      ),
    );
  }

  #judge(row: CachedRow | undefined, planned: PlannedView, now: number, monotonic: number): Verdict {
    const { negativeMs, maxRevalidateMs } = this.#options;
    if (row === undefined) return 'load';
    const sinceAsked = monotonic - row.loadedMs;
    if (!row.found) return sinceAsked < negativeMs ? 'serve' : 'load';
    if (row.values.length < planned.slots) return 'load';
    const age = now - row.eventAtMs;
    if (age <= planned.ttlMs) {
      if (monotonic < row.refreshMs) return 'serve';
      return sinceAsked < maxRevalidateMs ? 'refresh' : 'load';
    }
    if (sinceAsked < negativeMs) return 'serve';
    return age <= planned.servableMs && sinceAsked < maxRevalidateMs ? 'refresh' : 'load';
  }

  async #wait(asked: Asked, startedMs: number, deadlineMs: number): Promise<JoinedFeatures> {
    const { clock, timers, timeoutMs, metrics } = this.#options;
    const group = new LoadGroup();
    for (const load of asked.loads) if (load !== undefined) group.add(load);
    const patience = Math.min(timeoutMs, (deadlineMs - startedMs) * SHARE_OF_DEADLINE);
    const inTime = await new Promise<boolean>((resolve) => {
      const callOff = timers.after(Math.max(0, patience), () => resolve(false));
      group.onceDone(() => {
        callOff();
        resolve(true);
      });
    });
    metrics.waitedForStore(inTime, clock.monotonic() - startedMs);
    return this.#fill(asked.columns, asked.rows, asked.found, asked.loads, clock.now());
  }

  #fill(
    columns: Float32Array,
    rows: number,
    found: readonly (CachedRow | undefined)[],
    loads: readonly (Load | undefined)[] | null,
    now: number,
  ): JoinedFeatures {
    const { views, names, columns: width } = this.#plan;
    let statuses: JoinedFeatures = null;
    let at = 0;
    for (const planned of views) {
      for (let row = 0; row < rows; row += 1, at += 1) {
        const load = loads?.[at];
        const fresh = load?.row;
        // Without an answer, what was known before has to do, by the same rules.
        const unanswered = load !== undefined && (fresh === null || fresh === undefined);
        const cached = fresh ?? found[at];
        const usable = cached !== undefined && cached.found && cached.values.length >= planned.slots;
        const age = usable ? now - cached.eventAtMs : Infinity;
        for (const feature of planned.features) {
          const value = usable ? (cached.values[feature.slot] ?? ABSENT) : ABSENT;
          const base = row * width + feature.column;
          if (age <= planned.ttlMs && Number.isFinite(value)) {
            columns[base] = value;
            this.#count(feature, PRESENT, false);
            continue;
          }
          const unknown = unanswered && age > planned.ttlMs;
          const cause = unknown ? UNAVAILABLE : causeOfMissing(usable, age > planned.ttlMs, value);
          statuses ??= new FeatureStatuses(names, rows);
          const code = row * names.length + feature.index;
          if (age <= planned.ttlMs + feature.maxStaleMs && Number.isFinite(value)) {
            columns[base] = value;
            statuses.codes[code] = EXPIRED;
            this.#count(feature, EXPIRED, false);
          } else if (Number.isNaN(feature.fallback)) {
            this.#count(feature, cause, false);
            throw this.#missing(planned, feature, row, cause);
          } else {
            columns[base] = feature.fallback;
            statuses.codes[code] = cause + DEFAULTED;
            this.#count(feature, cause, true);
          }
        }
      }
    }
    return statuses;
  }

  #count({ index }: PlannedFeature, cause: number, defaulted: boolean): void {
    const at = index * STATUSES.length + cause;
    this.#causes[at] = (this.#causes[at] ?? 0) + 1;
    if (defaulted) this.#defaulted[at] = (this.#defaulted[at] ?? 0) + 1;
  }

  /** Names the row of the input and never its key, which may be a person's. */
  #missing(planned: PlannedView, feature: PlannedFeature, row: number, code: number): SlipwayError {
    const entity = this.entities[planned.entity] ?? '';
    const where = `feature ${feature.name} of view ${planned.view.name} for row ${row} of input ${entity}`;
    if (code === UNAVAILABLE) {
      return new SlipwayError(
        'FEATURES_UNAVAILABLE',
        `the feature store did not answer in time and there is no ${where}; try again in a moment`,
      );
    }
    return new SlipwayError(
      'FEATURE_MISSING',
      `${where} is ${causeOf(code)}, and its manifest says onMissing: fail or gives no default for it`,
    );
  }
}

function causeOfMissing(usable: boolean, expired: boolean, value: number): number {
  if (!usable || value === ABSENT) return NOT_FOUND;
  if (expired) return EXPIRED;
  return NULL;
}

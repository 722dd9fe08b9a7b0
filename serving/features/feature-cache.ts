/**
 * Rows of the online store in this process: the least recently used one goes when it is full. It knows nothing about
 * what may still be served; that depends on who asks.
 */
import type { OnlineRow } from '../../domain/features/online-row.ts';
import type { KeyHeat } from './online-store.ts';

/** In `CachedRow.values`: the store's row has no such feature. Null values are NaN. */
export const ABSENT = Infinity;

export class CachedRow {
  readonly view: CachedView;
  readonly key: string;
  /** False: the store said that it does not have the entity. */
  found = false;
  eventAtMs = -Infinity;
  /** By the view's slots, as many as there were when the row was read. */
  values: Float32Array = NO_VALUES;
  /** Monotonic: when the store was asked. */
  loadedMs = -Infinity;
  /** Monotonic: when it should be asked again. */
  refreshMs = -Infinity;
  /** Requests since they were reported last. */
  hits = 0;
  newer: CachedRow | null = null;
  older: CachedRow | null = null;

  constructor(view: CachedView, key: string) {
    this.view = view;
    this.key = key;
  }
}

const NO_VALUES = new Float32Array(0);

/** One feature view; shared by every endpoint that uses it, each with features of its own. */
export class CachedView {
  readonly name: string;
  readonly rows = new Map<string, CachedRow>();
  readonly #slots = new Map<string, number>();

  constructor(name: string) {
    this.name = name;
  }

  /** Where the feature's value is in each row; a row that was read before has no such slot yet. */
  slot(feature: string): number {
    let slot = this.#slots.get(feature);
    if (slot === undefined) this.#slots.set(feature, (slot = this.#slots.size));
    return slot;
  }

  pack(values: OnlineRow['values']): Float32Array {
    const packed = new Float32Array(this.#slots.size);
    for (const [feature, slot] of this.#slots) {
      if (!Object.hasOwn(values, feature)) packed[slot] = ABSENT;
      else {
        const value = Math.fround(values[feature] ?? NaN);
        // What float32 cannot hold is no value that a model could be given.
        packed[slot] = Number.isFinite(value) ? value : NaN;
      }
    }
    return packed;
  }
}

export class FeatureCache {
  readonly capacity: number;
  evictions = 0;
  #size = 0;
  #newest: CachedRow | null = null;
  #oldest: CachedRow | null = null;
  readonly #views = new Map<string, CachedView>();

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get size(): number {
    return this.#size;
  }

  get views(): Iterable<CachedView> {
    return this.#views.values();
  }

  view(name: string): CachedView {
    let view = this.#views.get(name);
    if (view === undefined) this.#views.set(name, (view = new CachedView(name)));
    return view;
  }

  get(view: CachedView, key: string): CachedRow | undefined {
    const row = view.rows.get(key);
    if (row !== undefined && row !== this.#newest) {
      this.#unlink(row);
      this.#link(row);
    }
    return row;
  }

  /** What the store just said, or null when it does not have the entity. */
  put(
    view: CachedView,
    key: string,
    stored: OnlineRow | null,
    loadedMs: number,
    refreshMs: number,
  ): CachedRow {
    let row = view.rows.get(key);
    if (row === undefined) {
      row = new CachedRow(view, key);
      view.rows.set(key, row);
      this.#size += 1;
    } else {
      this.#unlink(row);
    }
    this.#link(row);
    row.found = stored !== null;
    row.eventAtMs = stored?.eventAtMs ?? -Infinity;
    row.values = stored === null ? NO_VALUES : view.pack(stored.values);
    row.loadedMs = loadedMs;
    row.refreshMs = refreshMs;
    if (this.#size > this.capacity && this.#oldest !== null) this.#evict(this.#oldest);
    return row;
  }

  /** The keys with the most hits among the `among` rows used last; their counts begin anew. */
  takeHeat(limit: number, among: number): ReadonlyMap<string, readonly KeyHeat[]> {
    const warm: CachedRow[] = [];
    let row = this.#newest;
    for (let seen = 0; row !== null && seen < among; seen += 1, row = row.older) {
      if (row.found && row.hits > 0) warm.push(row);
    }
    const byView = new Map<string, KeyHeat[]>();
    for (const { view, key, hits } of warm.toSorted((a, b) => b.hits - a.hits).slice(0, limit)) {
      const heat = byView.get(view.name);
      if (heat === undefined) byView.set(view.name, [{ key, heat: hits }]);
      else heat.push({ key, heat: hits });
    }
    for (const seen of warm) seen.hits = 0;
    return byView;
  }

  #evict(row: CachedRow): void {
    this.#unlink(row);
    row.view.rows.delete(row.key);
    this.#size -= 1;
    this.evictions += 1;
  }

  #link(row: CachedRow): void {
    row.older = this.#newest;
    row.newer = null;
    if (this.#newest !== null) this.#newest.newer = row;
    this.#newest = row;
    this.#oldest ??= row;
  }

  #unlink(row: CachedRow): void {
    if (row.newer === null) this.#newest = row.older;
    else row.newer.older = row.older;
    if (row.older === null) this.#oldest = row.newer;
    else row.older.newer = row.newer;
    row.newer = null;
    row.older = null;
  }
}

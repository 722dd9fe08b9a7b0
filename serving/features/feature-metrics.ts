/**
 * What is counted about online features. What happens with every request is counted in plain numbers that a scrape
 * reads (`FeatureCounters`): a call into a metrics library would cost more than the lookup it counts.
 */

export type ReadOutcome = 'ok' | 'failed' | 'abandoned';

export interface FeatureMetrics {
  /** One round trip to the store. */
  storeRead(outcome: ReadOutcome, keys: number, ms: number): void;
  /** A join that had to wait for the store, and whether all of it came in time. */
  waitedForStore(inTime: boolean, ms: number): void;
  warmedUp(keys: number, complete: boolean, ms: number): void;
}

export const NO_FEATURE_METRICS: FeatureMetrics = { storeRead() {}, waitedForStore() {}, warmedUp() {} };

/** Lookups, one for each row and view. They only rise. */
export class FeatureCounters {
  /** Served from the cache. */
  hits = 0;
  /** Served from the cache while the store is asked again. */
  stale = 0;
  /** The cache knows that the store has no value that could be served. */
  negative = 0;
  /** The store had to be asked first. */
  misses = 0;
}

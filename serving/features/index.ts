/**
 * Online features: the gateway joins values to a request from the entity keys that it carries.
 *
 * Promises, each held by a test:
 * - A value older than its view's TTL, by its event time and at the moment of serving, is served only by the policy
 *   `stale`, within its limit, and is then marked EXPIRED. No cache, refresh or failure changes that.
 * - What the cache may answer is answered without a promise, an allocation for each row, or a turn of the event loop.
 * - The store is asked once for a key, however many requests wait, and once for all keys of a turn of the event loop.
 * - A slow or absent store costs a request at most its timeout, and then cached values and defaults serve it, as far
 *   as the policy of each feature allows.
 * - No message, metric or log holds an entity's key: it may be a person's.
 */
export type { FeatureJoiner, JoinedFeatures } from './feature-joiner.ts';
export { NO_FEATURE_METRICS } from './feature-metrics.ts';
export type { FeatureMetrics } from './feature-metrics.ts';
export { FEATURE_SETTINGS, OnlineFeatures } from './online-features.ts';
export type { FeatureSettings } from './online-features.ts';
export type { KeyHeat, OnlineFeatureWriter, OnlineStore, ViewRead } from './online-store.ts';
export { openRedisStore } from './redis-store.ts';
export type { RedisStore } from './redis-store.ts';

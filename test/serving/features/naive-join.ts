/** Online features the slow and obvious way: what the joiner has to agree with. */
import type { OnlineRow } from '../../../domain/features/index.ts';
import type { OnlineSource } from '../../../domain/manifest/serving-spec.ts';

export type Naive =
  | { readonly value: number; readonly status: 'PRESENT' | 'EXPIRED' | 'DEFAULTED' }
  | { readonly error: 'FEATURE_MISSING' | 'FEATURES_UNAVAILABLE' };

/**
 * @param answered whether the store said something just now
 * @param row what it said, or else what it said last
 */
export function naiveJoin(
  source: OnlineSource,
  ttlMs: number,
  answered: boolean,
  row: OnlineRow | null,
  now: number,
): Naive {
  const age = row === null ? Infinity : now - row.eventAtMs;
  const stored = row?.values[source.feature];
  if (typeof stored === 'number' && age <= ttlMs) return { value: Math.fround(stored), status: 'PRESENT' };
  if (source.onMissing === 'stale' && typeof stored === 'number' && age <= ttlMs + (source.maxStaleMs ?? 0)) {
    return { value: Math.fround(stored), status: 'EXPIRED' };
  }
  if (source.onMissing !== 'fail' && source.default !== undefined) {
    return { value: Math.fround(source.default), status: 'DEFAULTED' };
  }
  return { error: answered || age <= ttlMs ? 'FEATURE_MISSING' : 'FEATURES_UNAVAILABLE' };
}

/** A row of a feature view in an online store, and what no store may hold. */
import { SlipwayError } from '../errors.ts';

/** The newest values that the store has of one entity. */
export interface OnlineRow {
  /** Unix milliseconds: when the values were true, not when they were written. */
  readonly eventAtMs: number;
  /** Null: known to have no value. A feature that is not here is not known. */
  readonly values: Readonly<Record<string, number | null>>;
}

export interface OnlineWrite extends OnlineRow {
  readonly key: string;
}

const MAX_KEY_LENGTH = 512;
const HALF_A_PAIR = /\p{Surrogate}/u;

/**
 * PostgreSQL refuses a NUL, and half a surrogate pair would be sent as the replacement character, which is another
 * key: of such an entity a store has nothing, and it must not be asked, since one refusal would fail a whole batch.
 */
export function isStorableKey(key: string): boolean {
  return key.length > 0 && key.length <= MAX_KEY_LENGTH && !key.includes('\0') && !HALF_A_PAIR.test(key);
}

/**
 * The rows as they may be written: one for each key, the newest.
 * @throws SlipwayError INVALID_REQUEST
 */
export function writableRows(rows: readonly OnlineWrite[]): readonly OnlineWrite[] {
  const newest = new Map<string, OnlineWrite>();
  rows.forEach((row, index) => {
    if (!isStorableKey(row.key)) throw refused(index, 'the entity key cannot be stored');
    if (!Number.isSafeInteger(row.eventAtMs) || row.eventAtMs < 0) {
      throw refused(index, 'the event time must be whole unix milliseconds');
    }
    for (const [feature, value] of Object.entries(row.values)) {
      // JSON would turn it into null, which means something.
      if (value !== null && !Number.isFinite(value))
        throw refused(index, `${feature} must be finite or null`);
    }
    const other = newest.get(row.key);
    if (other === undefined || other.eventAtMs <= row.eventAtMs) newest.set(row.key, row);
  });
  return [...newest.values()];
}

function refused(index: number, reason: string): SlipwayError {
  return new SlipwayError('INVALID_REQUEST', `row ${index} of the online features: ${reason}`);
}

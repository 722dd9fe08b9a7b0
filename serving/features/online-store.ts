/** The online store as the gateway reads it, and as whoever materialises feature views writes it. */
import type { OnlineRow, OnlineWrite } from '../../domain/features/online-row.ts';

export interface ViewRead {
  readonly view: string;
  /** Each passes `isStorableKey`. */
  readonly keys: readonly string[];
}

export interface KeyHeat {
  readonly key: string;
  /** Requests since this was said last; above 0. */
  readonly heat: number;
}

export interface OnlineStore {
  /**
   * One round trip, whatever the number of views.
   * @returns for each read, one answer for each of its keys, in order; null for an entity that the store does not have.
   */
  read(reads: readonly ViewRead[]): Promise<readonly (readonly (OnlineRow | null)[])[]>;
  /** Keys that gateways were asked about most in the last hour or so, hottest first. */
  hottest(view: string, limit: number): Promise<readonly string[]>;
  noteHeat(view: string, heat: readonly KeyHeat[]): Promise<void>;
}

export interface OnlineFeatureWriter {
  /**
   * Replaces the rows of these entities whole. A row with an older event time than the store's is left out, one with
   * the same event time replaces it: so writing the same again, or in another order, ends in the same state.
   * @throws SlipwayError INVALID_REQUEST, and nothing is written, for a key or a value that cannot be stored.
   */
  write(view: string, rows: readonly OnlineWrite[]): Promise<void>;
}

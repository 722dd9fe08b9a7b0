/** What a request is told about each online value, in one byte a value. */

export const STATUSES = ['PRESENT', 'NOT_FOUND', 'EXPIRED', 'NULL', 'UNAVAILABLE'] as const;

/**
 * Why a value is there or not. `UNAVAILABLE`, which callers see as `DEFAULTED` or as an error, is for the operator:
 * the store did not answer in time.
 */
export type FeatureCause = (typeof STATUSES)[number];
export type FeatureStatus = Exclude<FeatureCause, 'UNAVAILABLE'> | 'DEFAULTED';

export const PRESENT = 0;
export const NOT_FOUND = 1;
export const EXPIRED = 2;
export const NULL = 3;
export const UNAVAILABLE = 4;
/** Added to the cause where the default took the value's place. */
export const DEFAULTED = 8;

export function statusOf(code: number): FeatureStatus {
  if (code >= DEFAULTED) return 'DEFAULTED';
  const cause = causeOf(code);
  if (cause === 'UNAVAILABLE') throw new TypeError('a value that is unavailable is never served');
  return cause;
}

export function causeOf(code: number): FeatureCause {
  const cause = STATUSES[code & 7];
  if (cause === undefined) throw new TypeError(`no feature status has the code ${code}`);
  return cause;
}

/** Statuses of one request in which at least one value is not PRESENT. */
export class FeatureStatuses {
  /** The model's columns that are online features. */
  readonly names: readonly string[];
  readonly rows: number;
  /** Row-major [rows, names.length]. */
  readonly codes: Uint8Array;

  constructor(names: readonly string[], rows: number) {
    this.names = names;
    this.rows = rows;
    this.codes = new Uint8Array(rows * names.length);
  }

  status(row: number, name: string): FeatureStatus {
    return statusOf(this.codes[row * this.names.length + this.names.indexOf(name)] ?? PRESENT);
  }

  /**
   * For a response parameter, which V2 allows no structure: `demand=DEFAULTED,price=EXPIRED:0.3`, the rows only where
   * not every row has that status. Features that are PRESENT in every row are left out.
   */
  toString(): string {
    const parts: string[] = [];
    this.names.forEach((name, index) => {
      const rowsOf = new Map<FeatureStatus, number[]>();
      for (let row = 0; row < this.rows; row += 1) {
        const code = this.codes[row * this.names.length + index] ?? PRESENT;
        if (code === PRESENT) continue;
        const rows = rowsOf.get(statusOf(code));
        if (rows === undefined) rowsOf.set(statusOf(code), [row]);
        else rows.push(row);
      }
      for (const [status, rows] of rowsOf) {
        parts.push(`${name}=${status}${rows.length === this.rows ? '' : `:${rows.join('.')}`}`);
      }
    });
    return parts.join(',');
  }
}

/**
 * What a run of a model costs, learned while it serves: milliseconds ≈ a · rows + b.
 *
 * Exponentially weighted least squares over all runs so far, kept as five sums, so that a sample costs a few additions
 * and an old machine state is forgotten after a few hundred batches. Neither the price of a row nor that of a run can
 * be negative; where the plain fit says so, the best fit under that condition is taken.
 *
 * A single stall (a collection of garbage, a neighbour on the machine) must not move the line: once it is fitted, a
 * sample is taken no further away from it than a few times the usual residual. A lasting change comes through all the
 * same, because the clamped samples raise the line and the residual each time.
 */
const HALF_LIFE_BATCHES = 200;
const MIN_SAMPLES = 8;
const DECAY = 2 ** (-1 / HALF_LIFE_BATCHES);
const RESIDUAL_DECAY = 2 ** (-1 / 50);
/** Residuals, which scale like a mean absolute deviation; about four standard deviations of a normal error. */
const CLAMP_RESIDUALS = 5;
/** Runs of exactly equal length would leave no room for the next one. */
const LEAST_RESIDUAL_SHARE = 0.05;
/** Kept for the first fit at most, while all runs had the same size. */
const MAX_HELD = 64;
/** Below this share of its largest possible value, the determinant is the noise of rounding. */
const SINGULAR = 1e-9;

export interface CostSample {
  readonly rows: number;
  readonly ms: number;
}

export class CostModel {
  /** Milliseconds for each row. */
  #a = 0;
  /** Milliseconds for each run. */
  #b = 0;
  #residual = 0;
  #samples = 0;
  #held: CostSample[] | null = [];
  #weights = 0;
  #x = 0;
  #y = 0;
  #xx = 0;
  #xy = 0;

  get a(): number {
    return this.#a;
  }

  get b(): number {
    return this.#b;
  }

  /** Mean absolute deviation of the runs from the line, clamped like they are; milliseconds. */
  get residual(): number {
    return this.#residual;
  }

  get samples(): number {
    return this.#samples;
  }

  /** False until there were enough samples of two sizes; `a` is 0 and `b` the median run until then. */
  get fitted(): boolean {
    return this.#held === null;
  }

  add(rows: number, ms: number): void {
    if (!(rows > 0) || !(ms >= 0) || ms === Infinity) return;
    this.#samples += 1;
    if (this.#held === null) this.#take(rows, ms);
    else this.#hold(this.#held, { rows, ms });
  }

  /** Expected duration of one run. */
  runMs(rows: number): number {
    return this.#a * rows + this.#b;
  }

  /** Rows that one run can have to last about `ms`; at least 1. */
  rowsWithin(ms: number): number {
    if (this.#a <= 0) return this.#b <= ms ? Infinity : 1;
    return Math.max(1, Math.floor((ms - this.#b) / this.#a + 1e-9));
  }

  #hold(held: CostSample[], sample: CostSample): void {
    held.push(sample);
    const sizes = new Set(held.map(({ rows }) => rows)).size;
    if (held.length < MIN_SAMPLES || sizes < 2) {
      if (held.length > MAX_HELD) held.shift();
      this.#b = median(held.map(({ ms }) => ms));
      return;
    }
    // The first fit has no residual to clamp by: it starts from the medians, which one stall does not move.
    ({ a: this.#a, b: this.#b } = medianLine(held));
    this.#residual = median(held.map(({ rows, ms }) => Math.abs(ms - this.runMs(rows))));
    this.#held = null;
    const { a, b, residual } = { a: this.#a, b: this.#b, residual: this.#residual };
    for (const { rows, ms } of held) this.#accumulate(rows, clamp(ms, a * rows + b, residual));
    this.#fit();
  }

  #take(rows: number, ms: number): void {
    const expected = this.runMs(rows);
    const taken = clamp(ms, expected, this.#residual);
    this.#residual = this.#residual * RESIDUAL_DECAY + Math.abs(taken - expected) * (1 - RESIDUAL_DECAY);
    this.#accumulate(rows, taken);
    this.#fit();
  }

  #accumulate(rows: number, ms: number): void {
    this.#weights = this.#weights * DECAY + 1;
    this.#x = this.#x * DECAY + rows;
    this.#y = this.#y * DECAY + ms;
    this.#xx = this.#xx * DECAY + rows * rows;
    this.#xy = this.#xy * DECAY + rows * ms;
  }

  #fit(): void {
    const determinant = this.#weights * this.#xx - this.#x * this.#x;
    // All recent runs had one size: they say what such a run costs, not how that divides; the slope is kept.
    if (determinant > SINGULAR * this.#weights * this.#xx) {
      this.#a = (this.#weights * this.#xy - this.#x * this.#y) / determinant;
    }
    this.#b = (this.#y - this.#a * this.#x) / this.#weights;
    if (this.#a < 0) {
      this.#a = 0;
      this.#b = this.#y / this.#weights;
    } else if (this.#b < 0) {
      this.#b = 0;
      this.#a = this.#xy / this.#xx;
    }
  }
}

function clamp(ms: number, expected: number, residual: number): number {
  const room = CLAMP_RESIDUALS * Math.max(residual, LEAST_RESIDUAL_SHARE * expected);
  return Math.min(Math.max(ms, expected - room), expected + room);
}

/** Theil–Sen: the median of all slopes between two samples, then the median of what is left. */
function medianLine(samples: readonly CostSample[]): { a: number; b: number } {
  const slopes: number[] = [];
  for (const [index, one] of samples.entries()) {
    for (const other of samples.slice(index + 1)) {
      if (one.rows !== other.rows) slopes.push((other.ms - one.ms) / (other.rows - one.rows));
    }
  }
  const a = Math.max(0, median(slopes));
  return { a, b: Math.max(0, median(samples.map(({ rows, ms }) => ms - a * rows))) };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/**
 * How much a model differs from itself. The same rows in a batch of another size take other paths through the
 * runtime's kernels, so scores differ in their last digits although nothing is wrong (the idea of a primary and a
 * secondary with the same code is Diffy's). A shadow's difference counts only beyond it.
 */

/** Differences of one window; the floor is the largest of this window and the one before. */
const WINDOW = 100;

export class NoiseFloor {
  #current = 0;
  #former = 0;
  #seen = 0;

  /** Largest absolute difference of scores seen lately; 0 before the first comparison. */
  get value(): number {
    return Math.max(this.#current, this.#former);
  }

  /** Takes the largest difference between two runs of one model on the same rows. */
  add(difference: number): void {
    // NaN would stay for ever; a model whose answer is no number is counted as invalid elsewhere.
    if (!(difference >= 0)) return;
    this.#current = Math.max(this.#current, difference);
    this.#seen += 1;
    if (this.#seen % WINDOW === 0) {
      this.#former = this.#current;
      this.#current = 0;
    }
  }
}

/** The largest |a − b| over the rows of `a`; `b` may be longer. */
export function largestDifference(a: Float32Array, b: Float32Array): number {
  let largest = 0;
  for (let row = 0; row < a.length; row += 1) {
    largest = Math.max(largest, Math.abs((a[row] as number) - (b[row] as number)));
  }
  return largest;
}

/** `features` of shape [rows, K] `times` over, as one batch. */
export function repeated(features: Float32Array, times: number): Float32Array {
  const batch = new Float32Array(features.length * times);
  for (let i = 0; i < times; i += 1) batch.set(features, i * features.length);
  return batch;
}

/** One loaded model version, wherever it runs. */
import type { Placement } from '../metrics.ts';

export interface ModelOutput {
  /** One class per row. */
  readonly labels: BigInt64Array;
  /** One score per row. */
  readonly scores: Float32Array;
}

export interface ModelSession {
  readonly placement: Placement;
  /**
   * Runs row-major `features` of shape [rows, K]. The array belongs to the session from then on: a worker takes it
   * without a copy.
   * @throws SlipwayError `INFERENCE_FAILED`
   */
  run(features: Float32Array, rows: number): Promise<ModelOutput>;
  /** No new runs come. Frees the model when the last one has ended, and resolves then. */
  retire(): Promise<void>;
}

/** Whether every score is a probability and there is one label and one score for each row. */
export function isValidOutput({ labels, scores }: ModelOutput, rows: number): boolean {
  if (labels.length !== rows || scores.length !== rows) return false;
  for (let row = 0; row < rows; row += 1) {
    const score = scores[row] as number;
    // NaN fails both comparisons.
    if (!(score >= 0 && score <= 1)) return false;
  }
  return true;
}

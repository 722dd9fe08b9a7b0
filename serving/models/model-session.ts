/** One loaded model version, wherever it runs. */
import type { Placement } from '../metrics.ts';

export interface ModelOutput {
  /** One class per row. */
  readonly labels: BigInt64Array;
  /** One score per row. */
  readonly scores: Float32Array;
}

export interface RunOutput extends ModelOutput {
  /** What the model took, without the way to it and back. */
  readonly runMs: number;
}

/** Rows for one run: row-major `features` of shape [rows, K]. */
export interface RunInput {
  readonly features: Float32Array;
  readonly rows: number;
}

/** Runs whole batches, one after the other or side by side; the batcher above it decides what is in them. */
export interface ModelSession {
  readonly placement: Placement;
  /** Batches that it takes at once; more would only wait in it, where they cannot grow any more. */
  readonly concurrency: number;
  /**
   * Runs row-major `features` of shape [rows, K]. The array belongs to the session from then on: a worker takes it
   * without a copy. `traceparent` is that of the run's span, for a model that runs in another server.
   * @throws SlipwayError `INFERENCE_FAILED` or `REMOTE_UNAVAILABLE`
   */
  run(features: Float32Array, rows: number, traceparent?: string): Promise<RunOutput>;
  /**
   * Like `run`, with rows that are asked for when the run starts, after the I/O of this turn of the event loop; null
   * when there are none any more. Only on the event loop, where a run would have to wait for its turn anyway.
   */
  runLate?(take: () => RunInput | null): Promise<RunOutput | null>;
  /** All places are taken and requests wait: a pool may grow. */
  demand?(): void;
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

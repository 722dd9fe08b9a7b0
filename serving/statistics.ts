/**
 * What one model version has done on this gateway since it was loaded, in the terms of the V2 statistics extension
 * (Triton, `extension_statistics.md`). Counters only rise; durations are whole nanoseconds.
 */

/** `{ count, ns }` of the extension. */
export interface DurationCount {
  count: number;
  ns: number;
}

export interface BatchStatistics {
  count: number;
  inputNs: number;
  inferNs: number;
  outputNs: number;
}

const none = (): DurationCount => ({ count: 0, ns: 0 });

export class ModelStatistics {
  /** Unix milliseconds of the last run; 0 before the first. */
  lastInferenceMs = 0;
  /** Rows that were run. */
  inferenceCount = 0;
  /** Runs of the model: one for each batch. */
  executionCount = 0;
  /** Whole requests, from the headers to the answer. */
  readonly success = none();
  readonly fail = none();
  /** Waiting for the model, once for each request. */
  readonly queue = none();
  readonly computeInput = none();
  readonly computeInfer = none();
  readonly computeOutput = none();
  readonly #batches = new Map<number, BatchStatistics>();

  /** By rows in the batch, ascending. */
  get batches(): readonly (readonly [rows: number, statistics: BatchStatistics])[] {
    return [...this.#batches].toSorted(([a], [b]) => a - b);
  }

  recordBatch(rows: number, inputNs: number, inferNs: number, outputNs: number, nowMs: number): void {
    this.lastInferenceMs = nowMs;
    this.inferenceCount += rows;
    this.executionCount += 1;
    add(this.computeInput, inputNs);
    add(this.computeInfer, inferNs);
    add(this.computeOutput, outputNs);
    let batch = this.#batches.get(rows);
    if (batch === undefined) {
      this.#batches.set(rows, (batch = { count: 0, inputNs: 0, inferNs: 0, outputNs: 0 }));
    }
    batch.count += 1;
    batch.inputNs += inputNs;
    batch.inferNs += inferNs;
    batch.outputNs += outputNs;
  }

  recordQueue(ns: number): void {
    add(this.queue, ns);
  }

  recordRequest(ok: boolean, ns: number): void {
    add(ok ? this.success : this.fail, ns);
  }
}

function add(duration: DurationCount, ns: number): void {
  duration.count += 1;
  duration.ns += ns;
}

/** Prediction rows that wait to be stored: bounded, never in the way of an answer, losses counted. */
import type { PredictionRow } from '../domain/rollout/arm-window.ts';
import type { ModelOutput } from './models/model-session.ts';

/** About 20 MB of rows: a minute of a few hundred requests a second while the database is away. */
const MAX_ROWS = 50_000;

export class PredictionLog {
  #rows: PredictionRow[] = [];
  #dropped = 0;

  get size(): number {
    return this.#rows.length;
  }

  /**
   * One entry for each row of the request. The id that the caller got names the only row; row i of several is
   * `<id>/<i>`.
   */
  add(row: Omit<PredictionRow, 'score' | 'decision'>, rows: number, output: ModelOutput | null): void {
    for (let i = 0; i < rows; i += 1) {
      if (this.#rows.length >= MAX_ROWS) {
        this.#dropped += rows - i;
        return;
      }
      this.#rows.push({
        predictionId: rows === 1 ? row.predictionId : `${row.predictionId}/${i}`,
        endpoint: row.endpoint,
        generation: row.generation,
        arm: row.arm,
        version: row.version,
        atMs: row.atMs,
        ...(row.experiment !== undefined && row.propensity !== undefined
          ? { experiment: row.experiment, propensity: row.propensity }
          : {}),
        ...(row.snapshot === undefined ? {} : { snapshot: row.snapshot }),
        ...(row.context === undefined ? {} : { context: row.context }),
        score: output === null ? null : (output.scores[i] as number),
        decision: output === null ? null : Number(output.labels[i]),
      });
    }
  }

  /** The oldest rows, at most `count`. */
  take(count: number): PredictionRow[] {
    if (this.#rows.length <= count) {
      const all = this.#rows;
      this.#rows = [];
      return all;
    }
    return this.#rows.splice(0, count);
  }

  /** How many were lost since the last call. */
  takeDropped(): number {
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped;
  }
}

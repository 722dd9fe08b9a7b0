/** `predictions.parquet`: what a trainer's model said about the rows it was not trained on. */
import { SlipwayError } from '../domain/errors.ts';
import { readNumbers, rowMajor } from './dataset-rows.ts';
import { literal } from './duckdb.ts';

export interface HeldOutPredictions {
  readonly count: number;
  readonly rowNumbers: Float64Array;
  /** Exactly what the model was fed with, row-major [count, width]. */
  readonly values: Float32Array;
  /** The trainer's own score, before the model was exported. */
  readonly scores: Float64Array;
  /** Label that the trainer's model gave. */
  readonly predicted: Uint8Array;
  /** True label. */
  readonly labels: Uint8Array;
}

/**
 * @param width number of features that the model declares
 * @throws SlipwayError DATA_INVALID
 */
export async function readPredictions(file: string, width: number): Promise<HeldOutPredictions> {
  const inputs = Array.from({ length: width }, (_, index) => `inputs[${index + 1}]::FLOAT`);
  const table = await readNumbers(
    `SELECT row_number::DOUBLE, score::FLOAT, predicted::FLOAT, "label"::FLOAT, len(inputs)::DOUBLE, ${inputs.join(', ')}
     FROM read_parquet(${literal(file)})`,
  );
  const [rowNumbers, scores, predicted, labels, lengths, ...values] = table.columns;
  if (table.count === 0) throw new SlipwayError('DATA_INVALID', 'predictions.parquet has no row');
  if (lengths!.some((length) => length !== width)) {
    throw new SlipwayError('DATA_INVALID', `predictions.parquet has rows without ${width} inputs`);
  }
  return {
    count: table.count,
    rowNumbers: rowNumbers!,
    values: rowMajor(values, table.count),
    scores: scores!,
    predicted: Uint8Array.from(predicted!),
    labels: Uint8Array.from(labels!),
  };
}

/** What a verified model answers to sample rows: the measure of a server that says that it runs the same model. */
import type { InferenceSession } from 'onnxruntime-node';
import { SlipwayError } from '../../domain/errors.ts';
import type { ModelOutput } from './model-session.ts';
import { runSession } from './onnx.ts';

export interface GoldenRows extends ModelOutput {
  /** Row-major; one row for each label and score. */
  readonly features: Float32Array;
}

/** Enough for all rows of nearly any model; a very slow one is compared on fewer. */
const RUNS_MS = 2000;
const LEAST_RUNS = 8;

/**
 * Each row by itself: these are made up from the contract, and one that the model fails on says nothing about another.
 * @throws SlipwayError `MODEL_LOAD_FAILED` when it answers none
 */
export async function goldenRows(
  session: InferenceSession,
  sampleRow: Float32Array,
  sampleRows: Float32Array,
): Promise<GoldenRows> {
  const columns = sampleRow.length;
  const rows = [sampleRow];
  for (let at = 0; at < sampleRows.length; at += columns) rows.push(sampleRows.subarray(at, at + columns));
  const answered: { row: Float32Array; label: bigint; score: number }[] = [];
  const started = performance.now();
  for (const [index, row] of rows.entries()) {
    if (index >= LEAST_RUNS && performance.now() - started > RUNS_MS) break;
    const output = await runSession(session, row.slice(), 1).catch(() => null);
    const [label] = output?.labels ?? [];
    const [score] = output?.scores ?? [];
    if (label !== undefined && score !== undefined && Number.isFinite(score))
      answered.push({ row, label, score });
  }
  if (answered.length === 0) {
    throw new SlipwayError(
      'MODEL_LOAD_FAILED',
      'the model gave no score for any row that its contract allows',
    );
  }
  const features = new Float32Array(answered.length * columns);
  for (const [index, { row }] of answered.entries()) features.set(row, index * columns);
  return {
    features,
    labels: BigInt64Array.from(answered, ({ label }) => label),
    scores: Float32Array.from(answered, ({ score }) => score),
  };
}

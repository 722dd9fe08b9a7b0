/**
 * Tries a model before anybody depends on it: batches of 1, 8 and 64 rows run, each row gets one score, and a row's
 * score does not depend on the rows beside it. Requests of strangers share a batch; a model that mixes its rows
 * would give one caller another one's answer.
 *
 * On the way this warms the session up (first runs allocate), measures what runs cost, and measures the noise floor:
 * how far scores of the same rows differ between batch sizes, because sums are rounded in another order.
 */
import type { InferenceSession } from 'onnxruntime-node';
import { SlipwayError } from '../../domain/errors.ts';
import type { CostSample } from '../batching/cost-model.ts';
import { TYPICAL_ROWS } from './load-order.ts';
import type { Cost } from './load-order.ts';
import type { RunOutput } from './model-session.ts';
import { runSession } from './onnx.ts';

const LARGE_ROWS = 64;
const REPEATS = 4;
/** Far above rounding of 32-bit floats (1e-7), far below any difference that matters. */
const TOLERANCE = 1e-5;
/** Enough time for 64 single runs of nearly any model; a very slow one is compared on fewer rows. */
const SINGLE_RUNS_MS = 250;
const LEAST_SINGLE_RUNS = 8;

type Proof = Omit<Cost, 'createMs'>;

/** @throws SlipwayError `MODEL_LOAD_FAILED` */
export async function proveModel(
  session: InferenceSession,
  sampleRow: Float32Array,
  sampleRows: Float32Array,
): Promise<Proof> {
  for (const rows of [1, TYPICAL_ROWS, LARGE_ROWS]) await tryRun(session, repeated([sampleRow], rows), rows);
  const { singles, samples } = await runSingles(session, sampleRow, sampleRows);
  let noiseFloor = 0;
  let runMs = Infinity;
  for (const rows of [TYPICAL_ROWS, LARGE_ROWS]) {
    const features = repeated(
      singles.map(({ row }) => row),
      rows,
    );
    for (let repeat = 0; repeat < REPEATS; repeat += 1) {
      const output = await tryRun(session, features.slice(), rows);
      if (rows === TYPICAL_ROWS) runMs = Math.min(runMs, output.runMs);
      samples.push({ rows, ms: output.runMs });
      for (const [row, score] of output.scores.entries()) {
        const alone = singles[row % singles.length]?.score ?? NaN;
        noiseFloor = Math.max(noiseFloor, Math.abs(score - alone));
      }
    }
  }
  if (!(noiseFloor <= TOLERANCE)) {
    throw new SlipwayError(
      'MODEL_LOAD_FAILED',
      `a row's score changes by ${noiseFloor.toPrecision(2)} with the rows beside it, more than ${TOLERANCE}: requests cannot share a batch`,
    );
  }
  return { runMs, samples, noiseFloor };
}

interface Single {
  readonly row: Float32Array;
  readonly score: number;
}

/** Sample rows are made up from the contract, so a model may well fail on one: then that one shows nothing. */
async function runSingles(
  session: InferenceSession,
  sampleRow: Float32Array,
  sampleRows: Float32Array,
): Promise<{ singles: Single[]; samples: CostSample[] }> {
  const columns = sampleRow.length;
  const rows = [sampleRow];
  for (let at = 0; at < sampleRows.length; at += columns) rows.push(sampleRows.subarray(at, at + columns));
  const singles: Single[] = [];
  const times: CostSample[] = [];
  const started = performance.now();
  for (const [index, row] of rows.entries()) {
    if (index >= LEAST_SINGLE_RUNS && performance.now() - started > SINGLE_RUNS_MS) break;
    const output = await runSession(session, row.slice(), 1).catch(() => null);
    if (output === null) continue;
    times.push({ rows: 1, ms: output.runMs });
    const [score] = output.scores;
    if (score !== undefined && Number.isFinite(score)) singles.push({ row, score });
  }
  if (singles.length === 0) {
    throw new SlipwayError(
      'MODEL_LOAD_FAILED',
      'the model gave no score for any row that its contract allows',
    );
  }
  return { singles, samples: times.slice(-REPEATS) };
}

async function tryRun(session: InferenceSession, features: Float32Array, rows: number): Promise<RunOutput> {
  const output = await runSession(session, features, rows).catch((cause: unknown) => {
    throw new SlipwayError('MODEL_LOAD_FAILED', `the model failed its warm-up with ${rows} rows`, { cause });
  });
  if (output.labels.length !== rows || output.scores.length !== rows) {
    throw new SlipwayError(
      'MODEL_LOAD_FAILED',
      `the model gave ${output.scores.length} scores for ${rows} rows`,
    );
  }
  return output;
}

function repeated(rows: readonly Float32Array[], count: number): Float32Array {
  const columns = rows[0]?.length ?? 0;
  const all = new Float32Array(count * columns);
  for (let row = 0; row < count; row += 1) all.set(rows[row % rows.length] as Float32Array, row * columns);
  return all;
}

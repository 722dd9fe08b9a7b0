/**
 * Shows that a remote model computes what the signed one does, before anybody depends on it: its answers to sample rows
 * must be those of the verified ONNX file, alone, in batches, and in the largest batch that it will get. On the way
 * that warms it up, and measures what a run costs from here and how far its scores differ between batch sizes.
 */
import { SlipwayError } from '../../domain/errors.ts';
import type { CostSample } from '../batching/cost-model.ts';
import type { GoldenRows } from './golden-rows.ts';
import type { ModelOutput, RunOutput } from './model-session.ts';

/** Another runtime on another processor rounds differently: 1e-6 is usual. */
const TOLERANCE = 1e-4;
const SINGLES = 8;
const TYPICAL_ROWS = 8;
const REPEATS = 3;

export interface RemoteProof {
  readonly samples: readonly CostSample[];
  readonly noiseFloor: number;
}

type Run = (features: Float32Array, rows: number) => Promise<RunOutput>;

/** @throws SlipwayError `MODEL_LOAD_FAILED` that says what differs; `REMOTE_UNAVAILABLE` */
export async function proveRemote(
  run: Run,
  golden: GoldenRows,
  maxBatchRows: number,
  model: string,
): Promise<RemoteProof> {
  const samples: CostSample[] = [];
  const alone: number[] = [];
  let noiseFloor = 0;
  const known = golden.scores.length;
  for (let row = 0; row < Math.min(SINGLES, known); row += 1) {
    const output = await tryRun(run, rowsFrom(golden, row, 1), 1, golden, row, model);
    samples.push({ rows: 1, ms: output.runMs });
    alone.push(output.scores[0] as number);
  }
  const sizes = new Set([TYPICAL_ROWS, known, maxBatchRows].map((size) => Math.min(size, maxBatchRows)));
  for (const rows of sizes) {
    for (let repeat = 0; repeat < REPEATS; repeat += 1) {
      const output = await tryRun(run, rowsFrom(golden, 0, rows), rows, golden, 0, model);
      samples.push({ rows, ms: output.runMs });
      for (const [row, score] of output.scores.entries()) {
        const single = alone[row % known];
        if (single !== undefined) noiseFloor = Math.max(noiseFloor, Math.abs(score - single));
      }
    }
  }
  // The first one also opens the connection.
  return { samples: samples.slice(1), noiseFloor };
}

async function tryRun(
  run: Run,
  features: Float32Array,
  rows: number,
  golden: GoldenRows,
  from: number,
  model: string,
): Promise<RunOutput> {
  const output = await run(features, rows).catch((cause: unknown) => {
    if (!(cause instanceof SlipwayError) || cause.code === 'REMOTE_UNAVAILABLE') throw cause;
    throw new SlipwayError(
      'MODEL_LOAD_FAILED',
      `the remote model ${model} failed on a batch of ${rows} rows`,
      {
        internal: cause.internal ?? cause.message,
        cause,
      },
    );
  });
  const problem = goldenProblem(output, golden, from);
  if (problem === null) return output;
  throw new SlipwayError(
    'MODEL_LOAD_FAILED',
    `the remote model ${model} is not the one that was signed: ${problem}`,
  );
}

/** What differs first, in words; `output` begins with row `from`, and begins anew after the last one. */
export function goldenProblem({ labels, scores }: ModelOutput, golden: GoldenRows, from = 0): string | null {
  const known = golden.scores.length;
  for (let index = 0; index < scores.length; index += 1) {
    const row = (from + index) % known;
    const [label, score] = [labels[index], scores[index] as number];
    const [wantedLabel, wanted] = [golden.labels[row], golden.scores[row] as number];
    const of = `of sample row ${row}`;
    // NaN fails the comparison.
    if (!(Math.abs(score - wanted) <= TOLERANCE))
      return `the score ${of} is ${score} there and ${wanted} here`;
    if (label !== wantedLabel) return `the label ${of} is ${label} there and ${wantedLabel} here`;
  }
  return null;
}

/** `count` rows from `from` on, round and round. */
function rowsFrom({ features, scores }: GoldenRows, from: number, count: number): Float32Array {
  const columns = features.length / scores.length;
  const rows = new Float32Array(count * columns);
  for (let index = 0; index < count; index += 1) {
    const row = (from + index) % scores.length;
    rows.set(features.subarray(row * columns, (row + 1) * columns), index * columns);
  }
  return rows;
}

/** ONNX Runtime as this gateway uses it: one thread per session, features in, label and score out. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { SlipwayError } from '../../domain/errors.ts';
import type { Datatype, TensorSpec } from '../../domain/registry/model-version.ts';
import type { RunInput, RunOutput } from './model-session.ts';
import { inferenceFailed } from './run-failure.ts';

const OPTIONS: InferenceSession.SessionOptions = {
  // A second intra-op thread made p99 and large batches worse on two cores, and threads of several sessions spin.
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  // The runtime prints each failed run to standard error; the gateway reports them itself.
  logSeverityLevel: 4,
};

/** @throws SlipwayError `MODEL_LOAD_FAILED` */
export async function createSession(model: Uint8Array): Promise<InferenceSession> {
  try {
    return await InferenceSession.create(model, OPTIONS);
  } catch (error) {
    throw new SlipwayError(
      'MODEL_LOAD_FAILED',
      'ONNX Runtime cannot load the model; check its operators and opset',
      {
        internal: String(error),
        cause: error,
      },
    );
  }
}

/** @throws SlipwayError `INFERENCE_FAILED` */
export async function runSession(
  session: InferenceSession,
  features: Float32Array,
  rows: number,
): Promise<RunOutput> {
  try {
    const feeds = { features: inputTensor(features, rows) };
    const started = performance.now();
    return outputOf(await session.run(feeds), started);
  } catch (error) {
    throw inferenceFailed(String(error));
  }
}

/**
 * `session.run()` puts the native run off to the next check phase of the event loop (`setImmediate` in its backend)
 * and reads its feeds then. So the rows can be chosen there, right before, at no cost in time: all requests of this
 * turn of the event loop are in. At one connection the median answer took 115 µs so, and 126 µs when the batcher waited
 * for a turn by itself first; at 64 connections there was no difference.
 *
 * The version of the runtime is pinned, and `readsFeedsLate` tries it once for each session.
 * @throws SlipwayError `INFERENCE_FAILED`
 */
export async function runSessionLate(
  session: InferenceSession,
  placeholder: Tensor,
  take: () => RunInput | null,
): Promise<RunOutput | null> {
  const feeds = { features: placeholder };
  let asked = false;
  let taken: RunInput | null = null;
  let started = 0;
  const ask = (): void => {
    if (asked) return;
    asked = true;
    taken = take();
    if (taken !== null) feeds.features = inputTensor(taken.features, taken.rows);
    started = performance.now();
  };
  // Immediates run in the order in which they were set: this one comes just before that of the run below.
  setImmediate(ask);
  let output: RunOutput | null = null;
  let problem: unknown = null;
  try {
    output = outputOf(await session.run(feeds), started);
  } catch (error) {
    problem = error;
    // It failed before its turn came: so do the rows that would have been in it.
    ask();
  }
  // Without rows the placeholder was run, and what became of it is nobody's concern.
  if (taken === null) return null;
  if (output === null) throw inferenceFailed(String(problem));
  return output;
}

/** Whether the runtime takes rows that are put into the feeds after `run()` was called. */
export async function readsFeedsLate(session: InferenceSession, sampleRow: Float32Array): Promise<boolean> {
  const two = new Float32Array(2 * sampleRow.length);
  two.set(sampleRow);
  two.set(sampleRow, sampleRow.length);
  const output = await runSessionLate(session, inputTensor(sampleRow, 1), () => ({ features: two, rows: 2 }));
  return output?.scores.length === 2;
}

export function inputTensor(features: Float32Array, rows: number): Tensor {
  return new Tensor('float32', features, [rows, features.length / rows]);
}

function outputOf({ label, score }: InferenceSession.ReturnType, startedMs: number): RunOutput {
  const runMs = performance.now() - startedMs;
  return { labels: label?.data as BigInt64Array, scores: score?.data as Float32Array, runMs };
}

const DATATYPES: Readonly<Record<string, Datatype>> = {
  bool: 'BOOL',
  uint8: 'UINT8',
  uint16: 'UINT16',
  uint32: 'UINT32',
  uint64: 'UINT64',
  int8: 'INT8',
  int16: 'INT16',
  int32: 'INT32',
  int64: 'INT64',
  float16: 'FP16',
  float32: 'FP32',
  float64: 'FP64',
  string: 'BYTES',
};

/** The session's tensors in the words of the V2 protocol; a symbolic dimension becomes -1. */
export function tensorsOf(metadata: readonly InferenceSession.ValueMetadata[]): TensorSpec[] {
  return metadata.map((value) => {
    const datatype = value.isTensor ? DATATYPES[value.type] : undefined;
    if (!value.isTensor || datatype === undefined) {
      throw new SlipwayError(
        'MODEL_LOAD_FAILED',
        `tensor ${value.name} is of a kind that the gateway cannot serve`,
      );
    }
    const shape = value.shape.map((dimension) => (typeof dimension === 'number' ? dimension : -1));
    return { name: value.name, datatype, shape };
  });
}

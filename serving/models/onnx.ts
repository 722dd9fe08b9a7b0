/** ONNX Runtime as this gateway uses it: one thread per session, features in, label and score out. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { SlipwayError } from '../../domain/errors.ts';
import type { Datatype, TensorSpec } from '../../domain/registry/model-version.ts';
import type { ModelOutput } from './model-session.ts';

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
): Promise<ModelOutput> {
  try {
    const input = new Tensor('float32', features, [rows, features.length / rows]);
    const { label, score } = await session.run({ features: input });
    return { labels: label?.data as BigInt64Array, scores: score?.data as Float32Array };
  } catch (error) {
    throw inferenceFailed(String(error));
  }
}

export function inferenceFailed(internal: string): SlipwayError {
  return new SlipwayError('INFERENCE_FAILED', 'The model failed on this input; other input may work.', {
    internal,
  });
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

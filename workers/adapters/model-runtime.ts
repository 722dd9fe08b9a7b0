/** Models in the real ONNX Runtime, for validation and registration. Not the hot path. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { ModelRuntime } from '../../activities/training-ports.ts';
import { SlipwayError } from '../../domain/errors.ts';
import type { Datatype, TensorSignature, TensorSpec } from '../../domain/registry/model-version.ts';

const BATCH = 1024;

export function createModelRuntime(): ModelRuntime {
  return {
    async run(model, rows, width, timed) {
      const session = await open(model);
      try {
        const count = rows.length / width;
        const scores = new Float64Array(count);
        for (let start = 0; start < count; start += BATCH) {
          const end = Math.min(start + BATCH, count);
          scores.set(await score(session, rows.subarray(start * width, end * width), width), start);
        }
        const singleRowMs = new Float64Array(Math.min(timed, count));
        for (let i = 0; i < singleRowMs.length; i++) {
          const begun = performance.now();
          await score(session, rows.subarray(i * width, (i + 1) * width), width);
          singleRowMs[i] = performance.now() - begun;
        }
        return { scores, singleRowMs: singleRowMs.sort() };
      } finally {
        await session.release();
      }
    },

    async signature(model) {
      const session = await open(model);
      try {
        return signatureOf(session);
      } finally {
        await session.release();
      }
    },
  };
}

async function open(model: Uint8Array): Promise<InferenceSession> {
  try {
    return await InferenceSession.create(model, { intraOpNumThreads: 1, interOpNumThreads: 1 });
  } catch (error) {
    throw new SlipwayError('MODEL_LOAD_FAILED', 'ONNX Runtime cannot load model.onnx', {
      internal: String(error),
      cause: error,
    });
  }
}

async function score(session: InferenceSession, values: Float32Array, width: number): Promise<Float32Array> {
  let output;
  try {
    output = await session.run({ features: new Tensor('float32', values, [values.length / width, width]) }, [
      'score',
    ]);
  } catch (error) {
    throw new SlipwayError('GATE_INVALID', 'the model fails on rows that it was held out on', {
      internal: String(error),
      cause: error,
    });
  }
  const { data } = output['score'] ?? {};
  if (!(data instanceof Float32Array))
    throw new SlipwayError('TRAINER_CONTRACT', 'the model has no FP32 output `score`');
  return data;
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

function signatureOf(session: InferenceSession): TensorSignature {
  const spec = (value: InferenceSession.ValueMetadata): TensorSpec => {
    if (!value.isTensor)
      throw new SlipwayError('TRAINER_CONTRACT', `\`${value.name}\` of the model is not a tensor`);
    const datatype = DATATYPES[value.type];
    if (datatype === undefined)
      throw new SlipwayError('TRAINER_CONTRACT', `\`${value.name}\` has the unknown type ${value.type}`);
    return {
      name: value.name,
      datatype,
      shape: value.shape.map((size) => (typeof size === 'number' ? size : -1)),
    };
  };
  return { inputs: session.inputMetadata.map(spec), outputs: session.outputMetadata.map(spec) };
}

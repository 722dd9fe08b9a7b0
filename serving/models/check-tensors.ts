/** Whether a model has the tensors that the gateway serves, that its descriptor promises and that callers send. */
import { SlipwayError } from '../../domain/errors.ts';
import type { TensorSignature, TensorSpec } from '../../domain/registry/model-version.ts';

/** What every model of this gateway takes and gives; -1 is the number of rows. */
export function servedTensors(features: number): TensorSignature {
  return {
    inputs: [{ name: 'features', datatype: 'FP32', shape: [-1, features] }],
    outputs: [
      { name: 'label', datatype: 'INT64', shape: [-1] },
      { name: 'score', datatype: 'FP32', shape: [-1] },
    ],
  };
}

/** @throws SlipwayError `MODEL_LOAD_FAILED` that names the tensor. */
export function checkTensors(actual: TensorSignature, promised: TensorSignature, features: number): void {
  const served = servedTensors(features);
  compare('the signed descriptor', 'input', actual.inputs, promised.inputs);
  compare('the signed descriptor', 'output', actual.outputs, promised.outputs);
  compare(`an endpoint of ${features} features`, 'input', actual.inputs, served.inputs);
  compare(`an endpoint of ${features} features`, 'output', actual.outputs, served.outputs);
}

function compare(
  whose: string,
  kind: 'input' | 'output',
  actual: readonly TensorSpec[],
  wanted: readonly TensorSpec[],
): void {
  const has = new Set(actual.map(describe));
  const wants = new Set(wanted.map(describe));
  const missing = [...wants].filter((tensor) => !has.has(tensor));
  const extra = [...has].filter((tensor) => !wants.has(tensor));
  if (missing.length === 0 && extra.length === 0) return;
  const parts = [
    ...missing.map((tensor) => `${kind} ${tensor} is missing`),
    ...extra.map((tensor) => `${kind} ${tensor} is not expected`),
  ];
  throw new SlipwayError('MODEL_LOAD_FAILED', `the model does not fit ${whose}: ${parts.join(', ')}`);
}

function describe({ name, datatype, shape }: TensorSpec): string {
  return `${name} ${datatype} [${shape.map((length) => (length === -1 ? 'N' : length)).join(', ')}]`;
}

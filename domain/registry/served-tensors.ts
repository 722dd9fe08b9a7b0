/** What every model that a gateway serves takes and gives, and whether a model does. */
import type { TensorSignature, TensorSpec } from './model-version.ts';

/** For an endpoint of `features` features; -1 is the number of rows. */
export function servedTensors(features: number): TensorSignature {
  return {
    inputs: [{ name: 'features', datatype: 'FP32', shape: [-1, features] }],
    outputs: [
      { name: 'label', datatype: 'INT64', shape: [-1] },
      { name: 'score', datatype: 'FP32', shape: [-1] },
    ],
  };
}

/** What is missing from or superfluous in `actual`, in words; null when it has exactly the wanted tensors. */
export function tensorProblem(actual: TensorSignature, wanted: TensorSignature): string | null {
  const parts = [
    ...differences('input', actual.inputs, wanted.inputs),
    ...differences('output', actual.outputs, wanted.outputs),
  ];
  return parts.length === 0 ? null : parts.join(', ');
}

function differences(
  kind: 'input' | 'output',
  actual: readonly TensorSpec[],
  wanted: readonly TensorSpec[],
): readonly string[] {
  const has = new Set(actual.map(describe));
  const wants = new Set(wanted.map(describe));
  return [
    ...[...wants].filter((tensor) => !has.has(tensor)).map((tensor) => `${kind} ${tensor} is missing`),
    ...[...has].filter((tensor) => !wants.has(tensor)).map((tensor) => `${kind} ${tensor} is not expected`),
  ];
}

function describe({ name, datatype, shape }: TensorSpec): string {
  return `${name} ${datatype} [${shape.map((length) => (length === -1 ? 'N' : length)).join(', ')}]`;
}

/**
 * Tensors as JSON: flat in row-major order, or nested as the shape says. Nothing is coerced: a number in quotes is no
 * number, and a number outside its datatype is refused.
 */
import { float16Bits, float16FromBits } from './half-float.ts';
import { invalidTensor, show } from './refusal.ts';
import { elementCount, elementName } from './tensor-datatype.ts';
import type { Datatype, IntegerDatatype, TensorName } from './tensor-datatype.ts';

const RANGES: Readonly<Record<IntegerDatatype, readonly [min: number, max: number]>> = {
  UINT8: [0, 2 ** 8 - 1],
  UINT16: [0, 2 ** 16 - 1],
  UINT32: [0, 2 ** 32 - 1],
  // Beyond these, two neighbours read as the same number, and the one that was sent is not known any more.
  UINT64: [0, Number.MAX_SAFE_INTEGER],
  INT8: [-(2 ** 7), 2 ** 7 - 1],
  INT16: [-(2 ** 15), 2 ** 15 - 1],
  INT32: [-(2 ** 31), 2 ** 31 - 1],
  INT64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
};

/** Numbers as doubles, which hold every value that is accepted; BOOL as 0 and 1; BYTES as they are. */
export function decodeJson(
  tensor: TensorName,
  datatype: Datatype,
  shape: readonly number[],
  data: unknown,
): Float64Array | readonly string[] {
  if (!Array.isArray(data)) throw invalidTensor(`${tensor.name}.data must be an array, not ${show(data)}`);
  if (datatype === 'BF16') {
    throw invalidTensor(`${tensor.name}.datatype: BF16 has no JSON form; send it as binary data`);
  }
  const flat = flatten(tensor, shape, data);
  if (datatype === 'BYTES') return texts(tensor, flat);
  const values = new Float64Array(flat.length);
  for (let i = 0; i < flat.length; i += 1) values[i] = decodeNumber(tensor, datatype, flat[i], i);
  return values;
}

/** Recursion goes as deep as the shape, never as deep as the data. */
function flatten(tensor: TensorName, shape: readonly number[], data: readonly unknown[]): readonly unknown[] {
  const elements = elementCount(shape);
  if (shape.length === 1 || !Array.isArray(data[0])) {
    if (data.length !== elements) {
      throw invalidTensor(`${tensor.name}.data has ${data.length} values, and the shape says ${elements}`);
    }
    return data;
  }
  const flat: unknown[] = [];
  const descend = (values: unknown, axis: number, path: string): void => {
    if (!Array.isArray(values) || values.length !== shape[axis]) {
      throw invalidTensor(
        `${tensor.name}.data${path} must be an array of ${shape[axis]}, as the shape says, not ${show(values)}`,
      );
    }
    const last = axis === shape.length - 1;
    for (let i = 0; i < values.length; i += 1) {
      if (last) flat.push(values[i]);
      else descend(values[i], axis + 1, `${path}[${i}]`);
    }
  };
  descend(data, 0, '');
  return flat;
}

function texts(tensor: TensorName, values: readonly unknown[]): readonly string[] {
  for (let i = 0; i < values.length; i += 1) {
    const value = values[i];
    if (typeof value !== 'string') {
      throw invalidTensor(`${elementName(tensor, i)}: must be a string, not ${show(value)}`);
    }
    // Half of a surrogate pair has no UTF-8 form, so that two of them would become the same key.
    if (!value.isWellFormed()) throw invalidTensor(`${elementName(tensor, i)}: must be well-formed text`);
  }
  return values as readonly string[];
}

function decodeNumber(
  tensor: TensorName,
  datatype: Exclude<Datatype, 'BYTES' | 'BF16'>,
  value: unknown,
  index: number,
): number {
  if (datatype === 'BOOL') {
    if (typeof value === 'boolean') return value ? 1 : 0;
    throw invalidTensor(`${elementName(tensor, index)}: must be true or false, not ${show(value)}`);
  }
  if (typeof value !== 'number') {
    throw invalidTensor(`${elementName(tensor, index)}: must be a number, not ${show(value)}`);
  }
  if (datatype === 'FP64' || datatype === 'FP32') {
    // 1e999 in JSON is Infinity, and 1e39 is more than a float32 holds.
    const held = datatype === 'FP64' ? value : Math.fround(value);
    if (Number.isFinite(held)) return value;
    throw invalidTensor(`${elementName(tensor, index)}: does not fit ${datatype}: ${value}`);
  }
  if (datatype === 'FP16') {
    const held = float16FromBits(float16Bits(value));
    if (Number.isFinite(held)) return held;
    throw invalidTensor(`${elementName(tensor, index)}: does not fit FP16: ${value}`);
  }
  const [min, max] = RANGES[datatype];
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw invalidTensor(`${elementName(tensor, index)}: ${integerProblem(datatype, value)}`);
}

function integerProblem(datatype: IntegerDatatype, value: number): string {
  if (!Number.isInteger(value)) return `must be a whole number for ${datatype}, not ${value}`;
  const [min, max] = RANGES[datatype];
  if (datatype.endsWith('64') && (min < 0 || value >= 0)) {
    return `${value} is beyond ±(2^53 − 1), where JSON numbers are not exact; send it as BYTES or as binary data`;
  }
  return `must be from ${min} to ${max} for ${datatype}, not ${value}`;
}

/** The datatypes of the V2 protocol, what they hold, and how errors call a tensor and its elements. */
import { invalidTensor, MAX_DEPTH, show } from './refusal.ts';

/** Bytes of one element; 0 for BYTES, whose elements carry their own length. */
export const ELEMENT_BYTES = {
  BOOL: 1,
  UINT8: 1,
  UINT16: 2,
  UINT32: 4,
  UINT64: 8,
  INT8: 1,
  INT16: 2,
  INT32: 4,
  INT64: 8,
  FP16: 2,
  BF16: 2,
  FP32: 4,
  FP64: 8,
  BYTES: 0,
} as const satisfies Record<string, number>;

export type Datatype = keyof typeof ELEMENT_BYTES;

export type IntegerDatatype = 'UINT8' | 'UINT16' | 'UINT32' | 'UINT64' | 'INT8' | 'INT16' | 'INT32' | 'INT64';

/**
 * Elements in row-major order. Numbers are a typed array that holds each value exactly (FP16 and BF16 as float32,
 * BOOL as 0 and 1), BYTES are text: the only use of BYTES here is a name, and a name that is no UTF-8 is refused.
 */
export type NumericValues =
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | Float32Array
  | Float64Array;
export type TensorValues = NumericValues | readonly string[];

/** For errors. With columns an element is called by its row and feature, otherwise by its row. */
export interface TensorName {
  readonly name: string;
  readonly columns: readonly string[] | null;
}

export function elementName({ name, columns }: TensorName, index: number): string {
  if (columns === null) return `${name}, row ${index}`;
  const row = Math.floor(index / columns.length);
  return `${name}, row ${row}, feature "${columns[index % columns.length]}"`;
}

export function isDatatype(value: unknown): value is Datatype {
  return typeof value === 'string' && Object.hasOwn(ELEMENT_BYTES, value);
}

export function isInteger(datatype: Datatype): datatype is IntegerDatatype {
  return datatype.startsWith('INT') || datatype.startsWith('UINT');
}

/** @throws SlipwayError `INVALID_TENSOR` unless it is 1 to 8 whole numbers of at least 1 with a product that fits. */
export function checkShape(shape: unknown, name: string): asserts shape is readonly number[] {
  if (!Array.isArray(shape)) throw invalidTensor(`${name}.shape must be an array, not ${show(shape)}`);
  if (shape.length === 0 || shape.length > MAX_DEPTH) {
    throw invalidTensor(`${name}.shape must have 1 to ${MAX_DEPTH} dimensions, not ${shape.length}`);
  }
  let elements = 1;
  for (let axis = 0; axis < shape.length; axis += 1) {
    const length: unknown = shape[axis];
    if (!Number.isSafeInteger(length) || (length as number) < 1) {
      throw invalidTensor(`${name}.shape[${axis}] must be a whole number of at least 1, not ${show(length)}`);
    }
    elements *= length as number;
  }
  if (!Number.isSafeInteger(elements)) {
    throw invalidTensor(`${name}.shape has more elements than can be counted`);
  }
}

export function elementCount(shape: readonly number[]): number {
  let elements = 1;
  for (const length of shape) elements *= length;
  return elements;
}

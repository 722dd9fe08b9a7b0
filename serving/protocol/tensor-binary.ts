/**
 * Tensors as raw bytes: little-endian elements in row-major order, which is also the order of this machine's typed
 * arrays (ONNX Runtime is built for nothing else). A tensor begins wherever the one before it ends, so its bytes are
 * copied when they are not aligned for their element.
 */
import { isUtf8 } from 'node:buffer';
import { bfloat16Bits, bfloat16FromBits, float16Bits, float16FromBits } from './half-float.ts';
import { invalidTensor } from './refusal.ts';
import { ELEMENT_BYTES, elementName } from './tensor-datatype.ts';
import type { Datatype, NumericValues, TensorName, TensorValues } from './tensor-datatype.ts';

const LENGTH_BYTES = 4;

/** A view of `bytes` where that is possible: it is valid for as long as they are. */
export function decodeBinary(
  tensor: TensorName,
  datatype: Datatype,
  elements: number,
  bytes: Buffer,
): TensorValues {
  if (datatype === 'BYTES') return decodeTexts(tensor, elements, bytes);
  const wanted = elements * ELEMENT_BYTES[datatype];
  if (bytes.length !== wanted) {
    throw invalidTensor(
      `${tensor.name}.parameters.binary_data_size is ${bytes.length}, and ${elements} elements of ${datatype} take ${wanted} bytes`,
    );
  }
  switch (datatype) {
    case 'BOOL':
      for (let i = 0; i < elements; i += 1) {
        if ((bytes[i] as number) > 1) {
          throw invalidTensor(`${elementName(tensor, i)}: a BOOL must be 0 or 1, not ${bytes[i]}`);
        }
      }
      return bytes;
    case 'FP16':
      return Float32Array.from(view('UINT16', bytes) as Uint16Array, float16FromBits);
    case 'BF16':
      return Float32Array.from(view('UINT16', bytes) as Uint16Array, bfloat16FromBits);
    default:
      return view(datatype, bytes);
  }
}

type ViewedDatatype = Exclude<Datatype, 'BOOL' | 'FP16' | 'BF16' | 'BYTES'>;

function view(datatype: ViewedDatatype, bytes: Buffer): NumericValues {
  const size = ELEMENT_BYTES[datatype];
  const { buffer, byteOffset, byteLength } =
    bytes.byteOffset % size === 0 ? bytes : Uint8Array.prototype.slice.call(bytes);
  const length = byteLength / size;
  switch (datatype) {
    case 'UINT8':
      return new Uint8Array(buffer, byteOffset, length);
    case 'INT8':
      return new Int8Array(buffer, byteOffset, length);
    case 'UINT16':
      return new Uint16Array(buffer, byteOffset, length);
    case 'INT16':
      return new Int16Array(buffer, byteOffset, length);
    case 'UINT32':
      return new Uint32Array(buffer, byteOffset, length);
    case 'INT32':
      return new Int32Array(buffer, byteOffset, length);
    case 'UINT64':
      return new BigUint64Array(buffer, byteOffset, length);
    case 'INT64':
      return new BigInt64Array(buffer, byteOffset, length);
    case 'FP32':
      return new Float32Array(buffer, byteOffset, length);
    case 'FP64':
      return new Float64Array(buffer, byteOffset, length);
  }
}

/** Each element is its length in four bytes, then its bytes. */
function decodeTexts(tensor: TensorName, elements: number, bytes: Buffer): readonly string[] {
  const texts: string[] = [];
  let offset = 0;
  while (texts.length < elements) {
    const start = offset + LENGTH_BYTES;
    const length = start <= bytes.length ? bytes.readUInt32LE(offset) : 0;
    const end = start + length;
    if (end > bytes.length) {
      throw invalidTensor(
        `${elementName(tensor, texts.length)}: the bytes end before the element does; parameters.binary_data_size is ${bytes.length}`,
      );
    }
    const text = bytes.subarray(start, end);
    if (!isUtf8(text)) throw invalidTensor(`${elementName(tensor, texts.length)}: must be UTF-8`);
    texts.push(text.toString('utf8'));
    offset = end;
  }
  if (offset !== bytes.length) {
    throw invalidTensor(
      `${tensor.name}.parameters.binary_data_size is ${bytes.length}, and its ${elements} elements take ${offset} bytes`,
    );
  }
  return texts;
}

/** The inverse of `decodeBinary`; numbers have to be in the typed array that it gives for the datatype. */
export function encodeBinary(datatype: Datatype, values: TensorValues): Buffer {
  if (isTexts(values)) {
    return Buffer.concat(
      values.flatMap((text) => {
        const bytes = Buffer.from(text, 'utf8');
        const length = Buffer.alloc(LENGTH_BYTES);
        length.writeUInt32LE(bytes.length);
        return [length, bytes];
      }),
    );
  }
  if (datatype === 'FP16') return rawBytes(Uint16Array.from(values as Float32Array, float16Bits));
  if (datatype === 'BF16') return rawBytes(Uint16Array.from(values as Float32Array, bfloat16Bits));
  return rawBytes(values);
}

/** The array's own bytes, not a copy. */
export function rawBytes({ buffer, byteOffset, byteLength }: NumericValues): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

function isTexts(values: TensorValues): values is readonly string[] {
  return Array.isArray(values);
}

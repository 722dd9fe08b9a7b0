/** One run of a model on a V2 server: the request for a batch, and the answer, which is believed in nothing. */
import type { IncomingHttpHeaders } from 'node:http';
import { shortestFloat32 } from '../protocol/float32.ts';
import { isObject, show } from '../protocol/refusal.ts';
import { decodeBinary, rawBytes } from '../protocol/tensor-binary.ts';
import { checkShape, elementCount, isDatatype, isInteger } from '../protocol/tensor-datatype.ts';
import type { Datatype, TensorValues } from '../protocol/tensor-datatype.ts';
import { decodeJson } from '../protocol/tensor-json.ts';
import type { ModelOutput } from './model-session.ts';
import { executorFailed } from './run-failure.ts';

const HEADER_LENGTH = 'inference-header-content-length';
/** What an answer may have besides its tensors, and for each row of them as JSON with much white space. */
const ENVELOPE_BYTES = 64 * 1024;
const ROW_BYTES = 256;

export interface RemoteRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** The server's own name for the version that answered; null when it does not say. */
export interface RemoteAnswer extends ModelOutput {
  readonly modelVersion: string | null;
}

export function maxAnswerBytes(rows: number): number {
  return ENVELOPE_BYTES + rows * ROW_BYTES;
}

export function encodeRun(features: Float32Array, rows: number, binary: boolean): RemoteRequest {
  const input = `{"inputs":[{"name":"features","datatype":"FP32","shape":[${rows},${features.length / rows}],`;
  if (!binary) {
    let data = '';
    for (const value of features) data += `${data === '' ? '' : ','}${shortestFloat32(value)}`;
    const body = Buffer.from(`${input}"data":[${data}]}],"outputs":[{"name":"label"},{"name":"score"}]}`);
    return { headers: { 'content-type': 'application/json' }, body };
  }
  const asked = '"parameters":{"binary_data":true}';
  const json = Buffer.from(
    `${input}"parameters":{"binary_data_size":${features.byteLength}}}],` +
      `"outputs":[{"name":"label",${asked}},{"name":"score",${asked}}]}`,
  );
  return {
    headers: { 'content-type': 'application/octet-stream', [HEADER_LENGTH]: String(json.length) },
    body: Buffer.concat([json, rawBytes(features)]),
  };
}

/** @throws SlipwayError `INFERENCE_FAILED` that says to the log what is wrong with the answer */
export function decodeRun(headers: IncomingHttpHeaders, body: Buffer, rows: number): RemoteAnswer {
  try {
    return decode(headers, body, rows);
  } catch (error) {
    throw executorFailed(`the answer of the remote model: ${(error as Error).message}`);
  }
}

function decode(headers: IncomingHttpHeaders, body: Buffer, rows: number): RemoteAnswer {
  const encoding = headers['content-encoding'] ?? 'identity';
  if (encoding !== 'identity') throw new Error(`content-encoding ${encoding} was not asked for`);
  const jsonBytes = headerLength(headers, body.length);
  const answer: unknown = JSON.parse(body.toString('utf8', 0, jsonBytes));
  if (!isObject(answer)) throw new Error('not an object');
  const { outputs, model_version: version } = answer;
  if (!Array.isArray(outputs)) throw new Error('outputs must be an array');
  let labels: BigInt64Array | null = null;
  let scores: Float32Array | null = null;
  let offset = jsonBytes;
  for (const [index, output] of outputs.entries()) {
    if (!isObject(output)) throw new Error(`outputs[${index}] must be an object, not ${show(output)}`);
    const { name } = output;
    // The bytes of a binary output that nobody asked for come before those of the next one all the same.
    const size = binarySize(output['parameters']);
    const bytes = size === null ? null : body.subarray(offset, offset + size);
    offset += size ?? 0;
    if (offset > body.length) throw new Error(`the body ends before outputs[${index}] does`);
    if (name !== 'label' && name !== 'score') continue;
    if ((name === 'label' ? labels : scores) !== null) throw new Error(`${name} is there twice`);
    const { datatype } = output;
    if (name === 'label') {
      if (!isDatatype(datatype) || !isInteger(datatype))
        throw new Error(`label.datatype must be an integer type, not ${show(datatype)}`);
      labels = toLabels(tensorOf(name, datatype, output, bytes, rows));
    } else {
      if (datatype !== 'FP32') throw new Error(`score.datatype must be FP32, not ${show(datatype)}`);
      scores = Float32Array.from(tensorOf(name, datatype, output, bytes, rows) as ArrayLike<number>);
    }
  }
  if (offset !== body.length) throw new Error(`${body.length - offset} bytes follow the last output`);
  if (labels === null || scores === null)
    throw new Error(`${labels === null ? 'label' : 'score'} is missing`);
  return { labels, scores, modelVersion: typeof version === 'string' ? version : null };
}

function headerLength(headers: IncomingHttpHeaders, total: number): number {
  const value = headers[HEADER_LENGTH];
  if (value === undefined) return total;
  const length = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : NaN;
  if (!(length <= total))
    throw new Error(`${HEADER_LENGTH} is ${show(value)}, and the body has ${total} bytes`);
  return length;
}

function binarySize(parameters: unknown): number | null {
  const size = isObject(parameters) ? parameters['binary_data_size'] : undefined;
  if (size === undefined) return null;
  if (Number.isSafeInteger(size) && (size as number) >= 0) return size as number;
  throw new Error(`binary_data_size must be a whole number, not ${show(size)}`);
}

function tensorOf(
  name: string,
  datatype: Datatype,
  { shape, data }: Readonly<Record<string, unknown>>,
  bytes: Buffer | null,
  rows: number,
): TensorValues {
  checkShape(shape, name);
  const elements = elementCount(shape);
  if (shape[0] !== rows || elements !== rows)
    throw new Error(`${name}.shape is [${shape.join(', ')}] for ${rows} rows`);
  const tensor = { name, columns: null };
  return bytes === null
    ? decodeJson(tensor, datatype, shape, data)
    : decodeBinary(tensor, datatype, rows, bytes);
}

/** A copy, like that of the scores: a view would keep the whole answer. */
function toLabels(values: TensorValues): BigInt64Array {
  const labels = new BigInt64Array(values.length);
  for (let row = 0; row < labels.length; row += 1) labels[row] = BigInt(values[row] as number | bigint);
  return labels;
}

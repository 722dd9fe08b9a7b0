/** A V2 inference response, written as text: the shape is known, and serialising an object costs more. */
import type { Digest } from '../../domain/routing/route.ts';
import type { AnswerArm } from '../metrics.ts';
import type { ModelOutput } from '../models/model-session.ts';
import { shortestFloat32 } from './float32.ts';
import type { InferRequest } from './infer-request.ts';
import { rawBytes } from './tensor-binary.ts';

/** Who answered: the same facts are in the body's parameters and in the headers. */
export interface AnsweredBy {
  readonly endpoint: string;
  readonly version: Digest;
  readonly arm: AnswerArm;
  readonly generation: number;
  readonly predictionId: string;
}

/** JSON and then raw tensors; the header `Inference-Header-Content-Length` has to say where the JSON ends. */
export interface BinaryResponse {
  readonly headerLength: number;
  readonly body: Buffer;
}

/** Text when every output is wanted in JSON. */
export function inferResponse(
  by: AnsweredBy,
  { id, rows, outputs }: InferRequest,
  { labels, scores }: ModelOutput,
  /** Online features that are not simply there, in one text; null when all are. */
  featureStatus: string | null = null,
): string | BinaryResponse {
  let json = `{"model_name":${JSON.stringify(by.endpoint)},"model_version":"${by.version}"`;
  if (id !== undefined) json += `,"id":${JSON.stringify(id)}`;
  json +=
    `,"parameters":{"prediction_id":"${by.predictionId}","arm":"${by.arm}","generation":${by.generation}` +
    (featureStatus === null ? '' : `,"feature_status":${JSON.stringify(featureStatus)}`) +
    '},"outputs":[';
  let raw: Buffer[] | null = null;
  for (let index = 0; index < outputs.length; index += 1) {
    const { name, binary } = outputs[index] as (typeof outputs)[number];
    if (index > 0) json += ',';
    json += name === 'label' ? '{"name":"label","datatype":"INT64"' : '{"name":"score","datatype":"FP32"';
    json += `,"shape":[${rows}],`;
    if (binary) {
      const bytes = rawBytes(name === 'label' ? labels : scores);
      (raw ??= []).push(bytes);
      json += `"parameters":{"binary_data_size":${bytes.length}}}`;
    } else {
      json += name === 'label' ? labelData(labels, rows) : scoreData(scores, rows);
    }
  }
  json += ']}';
  return raw === null ? json : binaryResponse(json, raw);
}

function labelData(labels: BigInt64Array, rows: number): string {
  let data = `"data":[${labels[0]}`;
  for (let row = 1; row < rows; row += 1) data += `,${labels[row]}`;
  return `${data}]}`;
}

function scoreData(scores: Float32Array, rows: number): string {
  let data = `"data":[${shortestFloat32(scores[0] as number)}`;
  for (let row = 1; row < rows; row += 1) data += `,${shortestFloat32(scores[row] as number)}`;
  return `${data}]}`;
}

/** One buffer: the outputs may belong to the model, and are written before anything else can happen to them. */
function binaryResponse(json: string, tensors: readonly Buffer[]): BinaryResponse {
  const headerLength = Buffer.byteLength(json);
  let length = headerLength;
  for (const tensor of tensors) length += tensor.length;
  const body = Buffer.allocUnsafe(length);
  let offset = body.write(json, 'utf8');
  for (const tensor of tensors) offset += tensor.copy(body, offset);
  return { headerLength, body };
}

/** A V2 inference response, written as text: the shape is known, and serialising an object costs more. */
import type { Digest } from '../../domain/routing/route.ts';
import type { AnswerArm } from '../metrics.ts';
import type { ModelOutput } from '../models/model-session.ts';
import { shortestFloat32 } from './float32.ts';
import type { InferRequest } from './infer-request.ts';

/** Who answered: the same facts are in the body's parameters and in the headers. */
export interface AnsweredBy {
  readonly endpoint: string;
  readonly version: Digest;
  readonly arm: AnswerArm;
  readonly generation: number;
  readonly predictionId: string;
}

export function inferResponse(
  by: AnsweredBy,
  request: InferRequest,
  { labels, scores }: ModelOutput,
): string {
  const { id, rows, wantsLabel, wantsScore } = request;
  let body = `{"model_name":${JSON.stringify(by.endpoint)},"model_version":"${by.version}"`;
  if (id !== undefined) body += `,"id":${JSON.stringify(id)}`;
  body +=
    `,"parameters":{"prediction_id":"${by.predictionId}","arm":"${by.arm}","generation":${by.generation}},` +
    '"outputs":[';
  if (wantsLabel) {
    body += `{"name":"label","datatype":"INT64","shape":[${rows}],"data":[${labels[0]}`;
    for (let row = 1; row < rows; row += 1) body += `,${labels[row]}`;
    body += ']}';
  }
  if (wantsScore) {
    body += `${wantsLabel ? ',' : ''}{"name":"score","datatype":"FP32","shape":[${rows}],"data":[`;
    body += shortestFloat32(scores[0] as number);
    for (let row = 1; row < rows; row += 1) body += `,${shortestFloat32(scores[row] as number)}`;
    body += ']}';
  }
  return `${body}]}`;
}

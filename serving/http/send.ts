/** Writes an answer: JSON, or JSON followed by raw tensors. */
import type { ServerResponse } from 'node:http';
import type { AnsweredBy, BinaryResponse } from '../protocol/infer-response.ts';
import { BINARY_TYPE, HEADER_LENGTH } from './media-type.ts';

export const JSON_TYPE = 'application/json';

export function send(
  response: ServerResponse,
  status: number,
  answer: string | BinaryResponse,
  by: AnsweredBy | null,
): void {
  const isText = typeof answer === 'string';
  const body = isText ? answer : answer.body;
  const headers = ['content-type', isText ? JSON_TYPE : BINARY_TYPE];
  headers.push('content-length', String(Buffer.byteLength(body)));
  if (!isText) headers.push(HEADER_LENGTH, String(answer.headerLength));
  if (by !== null) {
    headers.push('x-slipway-version', by.version, 'x-slipway-arm', by.arm);
    headers.push('x-slipway-generation', String(by.generation), 'x-slipway-prediction-id', by.predictionId);
  }
  response.writeHead(status, headers);
  response.end(body);
}

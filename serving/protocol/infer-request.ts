/**
 * A V2 inference request, checked field by field against the endpoint's contract. Each refusal names the field;
 * nothing is guessed, coerced or defaulted.
 */
import { isUtf8 } from 'node:buffer';
import type { InputContract } from './input-contract.ts';
import { invalid, isObject, refuseDeepMembers } from './refusal.ts';
import { readInputs, readRawMatrix } from './request-inputs.ts';
import type { Inputs } from './request-inputs.ts';
import { ALL_BINARY, requestedOutputs } from './request-outputs.ts';
import type { RequestedOutput } from './request-outputs.ts';
import { NO_PARAMETERS, optionalText, readParameters } from './request-parameters.ts';

export interface InferRequest extends Inputs {
  readonly id: string | undefined;
  /** Who the request is for, when the caller says so: the same unit gets the same arm. */
  readonly unit: string | undefined;
  /** V2 parameter `timeout`; 0 is none. */
  readonly timeoutMicros: number;
  /** V2 parameter `priority`: 1 is the highest, 0 the model's default. */
  readonly priority: number;
  /** In the order of the answer. */
  readonly outputs: readonly RequestedOutput[];
}

const REQUEST_MEMBERS = new Set(['id', 'inputs', 'outputs', 'parameters']);

/**
 * @param headerLength bytes of the JSON at the start of the body, before the binary tensors; null when the whole body
 * is JSON, 0 when there is none and the whole body is the tensor `features`
 * @throws SlipwayError `INVALID_REQUEST` or `INVALID_TENSOR`
 */
export function parseInferRequest(
  body: Buffer,
  headerLength: number | null,
  contract: InputContract,
): InferRequest {
  if (headerLength === 0) {
    const { features, rows, keys } = readRawMatrix(body, contract);
    const { unit, timeoutMicros, priority } = NO_PARAMETERS;
    return { id: undefined, unit, timeoutMicros, priority, features, rows, keys, outputs: ALL_BINARY };
  }
  if (headerLength !== null && headerLength > body.length) {
    throw invalid(
      `Inference-Header-Content-Length is ${headerLength}, and the body has ${body.length} bytes`,
    );
  }
  const document = readDocument(headerLength === null ? body : body.subarray(0, headerLength));
  const { unit, timeoutMicros, priority, binaryOutput } = readParameters(document['parameters']);
  const outputs = requestedOutputs(document['outputs'], binaryOutput);
  const id = optionalText(document['id'], 'id');
  refuseDeepMembers(document, REQUEST_MEMBERS, '');
  const bytes = headerLength === null ? null : body.subarray(headerLength);
  const { features, rows, keys } = readInputs(document['inputs'], bytes, contract);
  return { id, unit, timeoutMicros, priority, features, rows, keys, outputs };
}

function readDocument(json: Buffer): Record<string, unknown> {
  if (json.length === 0) throw invalid('the body is empty; send a V2 inference request in JSON');
  if (!isUtf8(json)) {
    throw invalid(
      'the body is not JSON; before binary tensors, Inference-Header-Content-Length says where it ends',
    );
  }
  let document: unknown;
  try {
    document = JSON.parse(json.toString('utf8'));
  } catch {
    throw invalid('the body is not JSON');
  }
  if (!isObject(document)) throw invalid('the body must be a JSON object');
  return document;
}

/** Requests in both encodings against two contracts, and what a refusal said. */
import assert from 'node:assert/strict';
import { SlipwayError } from '../../../domain/errors.ts';
import { inputContract } from '../../../serving/protocol/input-contract.ts';
import { parseInferRequest } from '../../../serving/protocol/infer-request.ts';
import type { InferRequest } from '../../../serving/protocol/infer-request.ts';
import { encodeBinary } from '../../../serving/protocol/tensor-binary.ts';
import type { Datatype, TensorValues } from '../../../serving/protocol/tensor-datatype.ts';

const COLUMNS = [{ name: 'alpha', min: -100, max: 100 }, { name: 'beta' }, { name: 'gamma', max: 50 }];
export const PLAIN = inputContract(COLUMNS, 16);
/** `beta` comes from the online store, by the customer; `spend` by the shop. */
export const ONLINE = inputContract(
  [
    { name: 'alpha', min: -100, max: 100 },
    { name: 'beta', online: {} },
    { name: 'gamma' },
    { name: 'spend', online: {} },
  ],
  16,
  [{ entity: 'customer' }, { entity: 'shop' }, { entity: 'customer' }],
);

interface Tensor {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly values: TensorValues;
}

export const parse = (document: unknown, contract = PLAIN): InferRequest =>
  parseInferRequest(
    Buffer.from(typeof document === 'string' ? document : JSON.stringify(document)),
    null,
    contract,
  );

/** JSON, then the tensors as they are sent by clients; `pad` bytes before it all make them unaligned. */
export function binary(
  tensors: readonly Tensor[],
  more: object = {},
  pad = 0,
): [body: Buffer, headerLength: number] {
  const raws = tensors.map(({ datatype, values }) => encodeBinary(datatype, values));
  const inputs = tensors.map(({ name, datatype, shape }, i) => ({
    name,
    datatype,
    shape,
    parameters: { binary_data_size: (raws[i] as Buffer).length },
  }));
  const json = Buffer.from(JSON.stringify({ inputs, ...more }));
  const whole = Buffer.concat([Buffer.alloc(pad), json, ...raws]);
  return [whole.subarray(pad), json.length];
}

export const parseBinary = (tensors: readonly Tensor[], contract = PLAIN, more: object = {}): InferRequest =>
  parseInferRequest(...binary(tensors, more), contract);

export function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof SlipwayError, String(error));
    assert.ok(error.code === 'INVALID_TENSOR' || error.code === 'INVALID_REQUEST', error.code);
    return error.message;
  }
  return assert.fail('was not refused');
}

export const matrix = { name: 'features', datatype: 'FP32', shape: [1, 3], data: [1, 2, 3] };
export const column = (name: string, data: unknown, change: object = {}): object => ({
  name,
  datatype: 'FP64',
  shape: [Array.isArray(data) ? data.length : 1],
  data,
  ...change,
});

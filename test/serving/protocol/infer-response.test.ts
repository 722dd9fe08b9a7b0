import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import fc from 'fast-check';
import type { InferRequest } from '../../../serving/protocol/infer-request.ts';
import { inferResponse } from '../../../serving/protocol/infer-response.ts';
import type { RequestedOutput } from '../../../serving/protocol/request-outputs.ts';

const BY = {
  endpoint: 'toy "ö"',
  version: `sha256:${'a'.repeat(64)}`,
  arm: 'champion',
  generation: 3,
  predictionId: 'p-1',
} as const;

interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data?: readonly number[];
  readonly parameters?: { readonly binary_data_size: number };
}

const request = (rows: number, outputs: readonly RequestedOutput[], id?: string): InferRequest => ({
  id,
  unit: undefined,
  timeoutMicros: 0,
  priority: 0,
  features: new Float32Array(rows),
  rows,
  keys: null,
  outputs,
});

const names = fc.shuffledSubarray(['label', 'score'] as const, { minLength: 1 });
const outputs = names.chain((list) =>
  fc.tuple(...list.map((name) => fc.boolean().map((binary): RequestedOutput => ({ name, binary })))),
);
const rows = fc.array(
  fc.record({
    label: fc.bigInt(-(2n ** 53n) + 1n, 2n ** 53n - 1n),
    score: fc.float({ min: 0, max: 1, noNaN: true }),
  }),
  { minLength: 1, maxLength: 9 },
);

describe('infer response', () => {
  it('reads back as what the model gave, in any order and form, also out of the middle of a batch', () => {
    fc.assert(
      fc.property(
        rows,
        outputs,
        fc.option(fc.string({ unit: 'grapheme' }), { nil: undefined }),
        (list, wanted, id) => {
          // The model's arrays may be parts of a batch's.
          const labels = BigInt64Array.from([7n, ...list.map(({ label }) => label), 7n]).subarray(1, -1);
          const scores = Float32Array.from([7, ...list.map(({ score }) => score), 7]).subarray(1, -1);
          const response = inferResponse(BY, request(list.length, wanted, id), { labels, scores });
          const isText = typeof response === 'string';
          assert.equal(isText, !wanted.some(({ binary }) => binary));
          const json = isText ? response : response.body.toString('utf8', 0, response.headerLength);
          const document = JSON.parse(json) as Record<string, unknown> & { outputs: Tensor[] };
          assert.deepEqual(
            [document['model_name'], document['model_version'], document['id']],
            [BY.endpoint, BY.version, id],
          );
          assert.deepEqual(document['parameters'], { prediction_id: 'p-1', arm: 'champion', generation: 3 });
          assert.deepEqual(
            document.outputs.map(({ name }) => name),
            wanted.map(({ name }) => name),
          );
          let offset = isText ? 0 : response.headerLength;
          for (const { name, shape, data, parameters } of document.outputs) {
            assert.deepEqual(shape, [list.length]);
            const size = parameters?.binary_data_size ?? 0;
            const raw = isText ? undefined : new Uint8Array(response.body.subarray(offset, offset + size));
            offset += size;
            if (name === 'label') {
              const sent = data?.map(BigInt) ?? [...new BigInt64Array((raw as Uint8Array).buffer)];
              assert.deepEqual(sent, [...labels]);
            } else {
              const sent = data?.map(Math.fround) ?? [...new Float32Array((raw as Uint8Array).buffer)];
              assert.deepEqual(
                sent.map((score) => score + 0),
                [...scores].map((score) => score + 0),
              );
            }
          }
          if (!isText) assert.equal(offset, response.body.length, 'nothing after the last tensor');
        },
      ),
    );
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import fc from 'fast-check';
import { inputContract } from '../../../serving/protocol/input-contract.ts';
import { parseInferRequest } from '../../../serving/protocol/infer-request.ts';
import type { Datatype, TensorValues } from '../../../serving/protocol/tensor-datatype.ts';
import { ONLINE, PLAIN, binary, column, matrix, parse, parseBinary, refusal } from './infer-bodies.ts';

describe('infer request: the matrix in any numeric datatype', () => {
  const small = fc
    .array(fc.integer({ min: 0, max: 50 }), { minLength: 3, maxLength: 12 })
    .map((list) => list.slice(0, list.length - (list.length % 3)));
  const make: Partial<Record<Datatype, (list: readonly number[]) => TensorValues>> = {
    UINT8: (list) => Uint8Array.from(list),
    UINT16: (list) => Uint16Array.from(list),
    UINT32: (list) => Uint32Array.from(list),
    UINT64: (list) => BigUint64Array.from(list, BigInt),
    INT8: (list) => Int8Array.from(list),
    INT16: (list) => Int16Array.from(list),
    INT32: (list) => Int32Array.from(list),
    INT64: (list) => BigInt64Array.from(list, BigInt),
    FP16: (list) => Float32Array.from(list),
    BF16: (list) => Float32Array.from(list),
    FP32: (list) => Float32Array.from(list),
    FP64: (list) => Float64Array.from(list),
  };
  for (const [datatype, from] of Object.entries(make) as [
    Datatype,
    (list: readonly number[]) => TensorValues,
  ][]) {
    it(`${datatype}: binary and JSON give the same float32 rows, at any alignment, in memory of their own`, () => {
      fc.assert(
        fc.property(small, fc.nat(8), (list, pad) => {
          const shape = [list.length / 3, 3];
          const tensor = { name: 'features', datatype, shape, values: from(list) };
          const [body, headerLength] = binary([tensor], {}, pad);
          const { features, rows } = parseInferRequest(body, headerLength, PLAIN);
          assert.equal(rows, list.length / 3);
          assert.deepEqual([...features], list);
          // A worker takes the array away, and must not take other requests' bytes with it.
          assert.equal(features.buffer.byteLength, features.byteLength);
          if (datatype === 'BF16') return;
          assert.deepEqual(
            parse({ inputs: [{ ...tensor, values: undefined, data: list }] }).features,
            features,
          );
        }),
        { numRuns: 50 },
      );
    });
  }

  it('names row and feature of a value that is out of range, not finite or no float32', () => {
    const cases: [Datatype, TensorValues, RegExp][] = [
      [
        'FP32',
        Float32Array.of(1, 2, 3, 101, 2, 3),
        /row 1, feature "alpha": must be from -100 to 100, not 101/,
      ],
      [
        'FP32',
        Float32Array.of(1, NaN, 3, 1, 2, 3),
        /row 0, feature "beta": must be a finite number, not NaN/,
      ],
      ['FP32', Float32Array.of(1, 2, 3, 1, Infinity, 3), /row 1, feature "beta": .*finite/],
      ['FP64', Float64Array.of(1, 2, 3, 1, 1e39, 3), /row 1, feature "beta": does not fit FP32: 1e\+39/],
      ['FP16', Float32Array.of(1, 2, 3, 1, -Infinity, 3), /row 1, feature "beta": .*finite/],
      [
        'INT64',
        BigInt64Array.of(1n, 2n, 51n, 1n, 2n, 3n),
        /row 0, feature "gamma": must be at most 50, not 51/,
      ],
    ];
    for (const [datatype, values, words] of cases) {
      const tensor = { name: 'features', datatype, shape: [2, 3], values };
      assert.match(
        refusal(() => parseBinary([tensor])),
        words,
      );
    }
  });
});

describe('infer request: one tensor for each feature', () => {
  it('takes [N] and [N, 1], each in its own datatype, in any order', () => {
    const { features, rows, keys } = parse({
      inputs: [
        column('gamma', [7, 8], { datatype: 'INT64' }),
        column('alpha', [[1], [-2.5]], { shape: [2, 1] }),
        column('beta', [true, false], { datatype: 'BOOL' }),
      ],
    });
    assert.deepEqual([...features], [1, 1, 7, -2.5, 0, 8]);
    assert.deepEqual([rows, keys], [2, null]);
  });

  it('takes JSON and binary tensors in one request', () => {
    const json = { name: 'beta', datatype: 'FP32', shape: [1], data: [5] };
    const raw = (name: string, size: number): object => ({
      name,
      datatype: 'INT16',
      shape: [1],
      parameters: { binary_data_size: size },
    });
    const header = Buffer.from(JSON.stringify({ inputs: [raw('alpha', 2), json, raw('gamma', 2)] }));
    const body = Buffer.concat([header, Buffer.of(1, 0, 9, 0)]);
    assert.deepEqual([...parseInferRequest(body, header.length, PLAIN).features], [1, 5, 9]);
  });

  it('refuses what is missing, mixed, twice, of another length or out of range', () => {
    const [alpha, beta, gamma] = [column('alpha', [1]), column('beta', [2]), column('gamma', [3])];
    const cases: [object[], RegExp][] = [
      [[alpha, gamma], /feature "beta" is missing/],
      [[alpha, matrix], /inputs\[1\].*not both/],
      [[matrix, alpha], /inputs\[1\].*not both/],
      [[alpha, alpha], /inputs\[1\]: "alpha" is there twice/],
      [[alpha, column('beta', [1, 2])], /beta\.shape\[0\] is 2, and "alpha" has 1 rows/],
      [[column('alpha', [101]), beta, gamma], /alpha, row 0: must be from -100 to 100, not 101/],
      [[column('alpha', [1], { datatype: 'BYTES' })], /alpha\.datatype must be numeric or BOOL, not "BYTES"/],
      [
        [column('alpha', [[1, 2]], { shape: [1, 2] })],
        /alpha\.shape must be \[rows\] or \[rows, 1\], not \[1, 2\]/,
      ],
      [
        [column('alpha', [1], { shape: Array(9).fill(1) })],
        /alpha\.shape must have 1 to 8 dimensions, not 9/,
      ],
      [[column('alpha', Array(17).fill(1))], /alpha\.shape\[0\]: at most 16 rows/],
      [[{ ...alpha, name: undefined }], /inputs\[0\]\.name must be a string, not nothing/],
    ];
    for (const [inputs, words] of cases)
      assert.match(
        refusal(() => parse({ inputs })),
        words,
      );
    assert.match(
      refusal(() => parse({ inputs: [{ ...matrix, datatype: 'BOOL', data: [true, true, true] }] })),
      /features\.datatype must be numeric, not "BOOL"/,
    );
  });
});

describe('infer request: keys of online features', () => {
  const keys = [
    column('customer', ['ann', 'bob'], { datatype: 'BYTES' }),
    column('shop', [7, -8], { datatype: 'INT64' }),
  ];
  const two = { ...matrix, shape: [2, 2], data: [1, 3, 4, 6] };

  it('gives the keys as text, and leaves the online columns open', () => {
    const request = parse({ inputs: [two, ...keys] }, ONLINE);
    assert.deepEqual([...request.features], [1, NaN, 3, NaN, 4, NaN, 6, NaN]);
    assert.deepEqual(
      request.keys,
      new Map([
        ['customer', ['ann', 'bob']],
        ['shop', ['7', '-8']],
      ]),
    );
    const named = parse({ inputs: [...keys, column('gamma', [3, 6]), column('alpha', [1, 4])] }, ONLINE);
    assert.deepEqual([named.features, named.keys], [request.features, request.keys]);
  });

  it('takes them binary, with integers that JSON could not hold', () => {
    const request = parseBinary(
      [
        { name: 'features', datatype: 'FP32', shape: [2, 2], values: Float32Array.of(1, 3, 4, 6) },
        { name: 'customer', datatype: 'BYTES', shape: [2, 1], values: ['ä', ''] },
        {
          name: 'shop',
          datatype: 'UINT64',
          shape: [2],
          values: BigUint64Array.of(2n ** 64n - 1n, 2n ** 53n + 1n),
        },
      ],
      ONLINE,
    );
    assert.deepEqual(request.keys?.get('customer'), ['ä', '']);
    assert.deepEqual(request.keys?.get('shop'), ['18446744073709551615', '9007199254740993']);
  });

  it('refuses a missing key, another datatype, a column that is not the caller’s, and keys no store can have', () => {
    const customer = (data: unknown, change: object = {}): object =>
      column('customer', data, { datatype: 'BYTES', ...change });
    const shop = keys[1] as object;
    const cases: [object[], RegExp][] = [
      [[two, shop], /tensor "customer", a key, is missing/],
      [
        [two, customer([1, 2], { datatype: 'FP32' }), shop],
        /customer\.datatype must be BYTES or an integer type/,
      ],
      [[two, customer(['a']), shop], /customer\.shape\[0\] is 1, and "features" has 2 rows/],
      [[two, ...keys, column('beta', [1, 2])], /inputs\[3\]\.name: "beta" comes from the feature store/],
      [[{ ...two, shape: [2, 4] }, ...keys], /features\.shape\[1\] must be 2/],
      [[two, customer(['a\0', 'b']), shop], /customer, row 0: a key has no U\+0000/],
      [[two, customer(['a', 'b'.repeat(1025)]), shop], /customer, row 1: a key has at most 1024/],
      [[two, customer(['a', '\udc00']), shop], /customer, row 1: must be well-formed/],
      [
        [two, keys[0] as object, column('shop', [1, 2 ** 53], { datatype: 'INT64' })],
        /shop, row 1: .*not exact/,
      ],
    ];
    for (const [inputs, words] of cases)
      assert.match(
        refusal(() => parse({ inputs }, ONLINE)),
        words,
      );
    assert.match(
      refusal(() => parseInferRequest(Buffer.alloc(16), 0, ONLINE)),
      /no room for the keys/,
    );
  });

  it('needs no features at all when the store has every one', () => {
    const all = inputContract([{ name: 'spend', online: {} }], 16, [{ entity: 'customer' }]);
    const request = parse({ inputs: [keys[0]] }, all);
    assert.deepEqual([request.rows, ...request.features], [2, NaN, NaN]);
    assert.match(
      refusal(() => parse({ inputs: [matrix] }, all)),
      /every feature comes from the feature store/,
    );
  });
});

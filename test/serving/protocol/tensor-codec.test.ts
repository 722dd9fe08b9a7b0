import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import fc from 'fast-check';
import { SlipwayError } from '../../../domain/errors.ts';
import { float16FromBits, bfloat16FromBits } from '../../../serving/protocol/half-float.ts';
import { decodeBinary, encodeBinary } from '../../../serving/protocol/tensor-binary.ts';
import { checkShape, ELEMENT_BYTES } from '../../../serving/protocol/tensor-datatype.ts';
import type { Datatype, TensorValues } from '../../../serving/protocol/tensor-datatype.ts';
import { decodeJson } from '../../../serving/protocol/tensor-json.ts';

const TENSOR = { name: 't', columns: null };
const DATATYPES = Object.keys(ELEMENT_BYTES) as Datatype[];

/** Values of the datatype in the form that it is decoded to; `make` puts plain elements into that form. */
function elements(datatype: Datatype): {
  one: fc.Arbitrary<unknown>;
  make: (list: unknown[]) => TensorValues;
} {
  const integer = (min: number, max: number): fc.Arbitrary<unknown> => fc.integer({ min, max });
  switch (datatype) {
    case 'BOOL':
      return { one: integer(0, 1), make: (list) => Uint8Array.from(list as number[]) };
    case 'UINT8':
      return { one: integer(0, 255), make: (list) => Uint8Array.from(list as number[]) };
    case 'INT8':
      return { one: integer(-128, 127), make: (list) => Int8Array.from(list as number[]) };
    case 'UINT16':
      return { one: integer(0, 65_535), make: (list) => Uint16Array.from(list as number[]) };
    case 'INT16':
      return { one: integer(-32_768, 32_767), make: (list) => Int16Array.from(list as number[]) };
    case 'UINT32':
      return { one: integer(0, 2 ** 32 - 1), make: (list) => Uint32Array.from(list as number[]) };
    case 'INT32':
      return { one: integer(-(2 ** 31), 2 ** 31 - 1), make: (list) => Int32Array.from(list as number[]) };
    case 'UINT64':
      return { one: fc.bigInt(0n, 2n ** 64n - 1n), make: (list) => BigUint64Array.from(list as bigint[]) };
    case 'INT64':
      return {
        one: fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
        make: (list) => BigInt64Array.from(list as bigint[]),
      };
    case 'FP16':
      return {
        one: integer(0, 0x7bff).map((bits) => float16FromBits(bits as number)),
        make: (list) => Float32Array.from(list as number[]),
      };
    case 'BF16':
      return {
        one: integer(0, 0x7f7f).map((bits) => bfloat16FromBits(bits as number)),
        make: (list) => Float32Array.from(list as number[]),
      };
    case 'FP32':
      return { one: fc.float({ noNaN: true }), make: (list) => Float32Array.from(list as number[]) };
    case 'FP64':
      return { one: fc.double({ noNaN: true }), make: (list) => Float64Array.from(list as number[]) };
    case 'BYTES':
      return { one: fc.string({ unit: 'grapheme' }), make: (list) => list as string[] };
  }
}

/** Where JSON holds less than the datatype does. */
const JSON_ONLY: Partial<Record<Datatype, fc.Arbitrary<unknown>>> = {
  INT64: fc.maxSafeInteger(),
  UINT64: fc.maxSafeNat(),
  FP32: fc.float({ noNaN: true, noDefaultInfinity: true }),
  FP64: fc.double({ noNaN: true, noDefaultInfinity: true }),
};

const listOf = (datatype: Datatype): fc.Arbitrary<unknown[]> =>
  fc.array(elements(datatype).one, { minLength: 1, maxLength: 20 });

/** The list nested as the shape says. */
function nest(list: readonly unknown[], shape: readonly number[]): unknown {
  if (shape.length === 1) return list;
  const [, ...inner] = shape;
  const step = list.length / (shape[0] as number);
  return Array.from({ length: shape[0] as number }, (_, i) =>
    nest(list.slice(i * step, (i + 1) * step), inner),
  );
}

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof SlipwayError, String(error));
    assert.equal(error.code, 'INVALID_TENSOR');
    return error.message;
  }
  return assert.fail('was not refused');
}

describe('tensor codec: binary', () => {
  for (const datatype of DATATYPES) {
    it(`${datatype} comes back as it was, at any offset into the body`, () => {
      fc.assert(
        fc.property(listOf(datatype), fc.nat(8), (list, offset) => {
          const values = elements(datatype).make(list);
          const bytes = encodeBinary(datatype, values);
          const body = Buffer.concat([Buffer.alloc(offset), bytes, Buffer.alloc(3)]);
          const slice = body.subarray(offset, offset + bytes.length);
          const decoded = decodeBinary(TENSOR, datatype, list.length, slice);
          assert.deepEqual(Array.from(decoded as Iterable<unknown>), Array.from(values as Iterable<unknown>));
        }),
        { numRuns: 200 },
      );
    });

    it(`${datatype} with a byte more or less is refused, and names binary_data_size`, () => {
      const bytes = encodeBinary(datatype, elements(datatype).make(fc.sample(elements(datatype).one, 3)));
      for (const wrong of [bytes.subarray(0, -1), Buffer.concat([bytes, Buffer.alloc(1)])]) {
        assert.match(
          refusal(() => decodeBinary(TENSOR, datatype, 3, wrong)),
          /binary_data_size/,
        );
      }
    });
  }

  it('is little-endian, as the protocol says', () => {
    assert.deepEqual([...encodeBinary('INT32', Int32Array.of(1, -2))], [1, 0, 0, 0, 254, 255, 255, 255]);
    assert.deepEqual([...encodeBinary('FP32', Float32Array.of(1))], [0, 0, 0x80, 0x3f]);
    assert.deepEqual([...encodeBinary('FP16', Float32Array.of(1))], [0, 0x3c]);
    assert.deepEqual([...encodeBinary('BF16', Float32Array.of(1))], [0x80, 0x3f]);
    assert.deepEqual([...encodeBinary('BYTES', ['a'])], [1, 0, 0, 0, 97]);
  });

  it('copies only what is not aligned', () => {
    const body = Buffer.from(new ArrayBuffer(16));
    const aligned = decodeBinary(TENSOR, 'FP32', 2, body.subarray(4, 12)) as Float32Array;
    assert.equal(aligned.buffer, body.buffer);
    const unaligned = decodeBinary(TENSOR, 'FP32', 2, body.subarray(1, 9)) as Float32Array;
    assert.notEqual(unaligned.buffer, body.buffer);
  });

  it('refuses a BYTES element that is longer than what is left, however long it says it is', () => {
    for (const length of [2, 0xffff_ffff, 0x8000_0000]) {
      const bytes = Buffer.alloc(5);
      bytes.writeUInt32LE(length);
      assert.match(
        refusal(() => decodeBinary(TENSOR, 'BYTES', 1, bytes)),
        /t, row 0.*end before/,
      );
    }
  });

  it('refuses BYTES that are no UTF-8, and a BOOL that is neither 0 nor 1', () => {
    assert.match(
      refusal(() => decodeBinary(TENSOR, 'BYTES', 1, Buffer.of(1, 0, 0, 0, 0xff))),
      /row 0.*UTF-8/,
    );
    assert.match(
      refusal(() => decodeBinary(TENSOR, 'BOOL', 2, Buffer.of(1, 2))),
      /row 1.*0 or 1/,
    );
  });
});

describe('tensor codec: JSON', () => {
  const jsonTypes = DATATYPES.filter((datatype) => datatype !== 'BF16');
  for (const datatype of jsonTypes) {
    it(`${datatype} comes back as it was, flat and nested`, () => {
      // Dimensions of which the product is the number of elements, up to rank 8.
      const shapes = fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 8 });
      fc.assert(
        fc.property(
          shapes,
          fc.infiniteStream(JSON_ONLY[datatype] ?? elements(datatype).one),
          (shape, stream) => {
            const count = shape.reduce((a, b) => a * b, 1);
            if (count > 200) return;
            const list = [...stream.take(count)];
            const wire = datatype === 'BOOL' ? list.map((value) => value === 1) : list;
            for (const data of [wire, nest(wire, shape)]) {
              const sent: unknown = JSON.parse(JSON.stringify(data));
              const decoded = decodeJson(TENSOR, datatype, shape, sent);
              // JSON has no -0.
              const wanted = list.map((value) => (Object.is(value, -0) ? 0 : value));
              assert.deepEqual(Array.from(decoded as Iterable<unknown>), wanted);
            }
          },
        ),
        { numRuns: 100 },
      );
    });
  }

  it('refuses what the datatype does not hold, and says which element', () => {
    const cases: [Datatype, unknown, RegExp][] = [
      ['BOOL', 1, /row 1: must be true or false, not 1/],
      ['INT8', 128, /row 1: must be from -128 to 127 for INT8, not 128/],
      ['UINT8', -1, /row 1: must be from 0 to 255/],
      ['UINT16', 65_536, /row 1: must be from 0 to 65535/],
      ['INT32', 0.5, /row 1: must be a whole number for INT32, not 0.5/],
      ['UINT64', -1, /row 1: must be from 0/],
      ['INT64', 2 ** 53, /row 1: 9007199254740992 is beyond ±\(2\^53 − 1\).*BYTES or as binary/],
      ['INT64', -(2 ** 60), /row 1: .* is beyond/],
      ['UINT64', 2 ** 63, /row 1: .* is beyond/],
      ['FP16', 65_520, /row 1: does not fit FP16: 65520/],
      ['FP32', 1e39, /row 1: does not fit FP32/],
      ['FP64', Infinity, /row 1: does not fit FP64/],
      ['FP64', '1', /row 1: must be a number, not "1"/],
      ['FP64', null, /row 1: must be a number, not null/],
      ['FP64', [1], /row 1: must be a number, not an array of 1/],
      ['BYTES', 1, /row 1: must be a string, not 1/],
      ['BYTES', '\ud800', /row 1: must be well-formed/],
    ];
    for (const [datatype, wrong, words] of cases) {
      const right = datatype === 'BOOL' ? true : datatype === 'BYTES' ? 'x' : 1;
      assert.match(
        refusal(() => decodeJson(TENSOR, datatype, [2], [right, wrong])),
        words,
      );
    }
    assert.match(
      refusal(() => decodeJson(TENSOR, 'BF16', [1], [1])),
      /BF16 has no JSON form/,
    );
  });

  it('refuses nesting that is not the shape’s, without following it', () => {
    const bottomless = JSON.parse('['.repeat(100_000) + ']'.repeat(100_000)) as unknown;
    const cases: [number[], unknown, RegExp][] = [
      [[2, 2], [[1, 2], [3]], /t\.data\[1\] must be an array of 2/],
      [[2, 2], [[1, 2]], /t\.data must be an array of 2/],
      [[2, 2], [[1, 2], 3], /t\.data\[1\] must be an array of 2.*not 3/],
      [[2, 2], [1, 2, 3], /t\.data has 3 values, and the shape says 4/],
      [[4], [[1, 2, 3, 4]], /t\.data has 1 values, and the shape says 4/],
      [[2], { 0: 1 }, /t\.data must be an array, not an object/],
      [[1, 1, 1], bottomless, /must be a number, not an array/],
      [[1, 2], bottomless, /t\.data\[0\] must be an array of 2/],
    ];
    for (const [shape, data, words] of cases) {
      assert.match(
        refusal(() => decodeJson(TENSOR, 'FP32', shape, data)),
        words,
      );
    }
  });
});

describe('tensor codec: shape', () => {
  it('is 1 to 8 whole numbers of at least 1 whose product can be counted', () => {
    for (const shape of [[1], [3, 4], [1, 1, 1, 1, 1, 1, 1, 1]]) checkShape(shape, 't');
    const cases: [unknown, RegExp][] = [
      [undefined, /t\.shape must be an array, not nothing/],
      ['[1]', /t\.shape must be an array/],
      [[], /t\.shape must have 1 to 8 dimensions, not 0/],
      [Array(9).fill(1), /t\.shape must have 1 to 8 dimensions, not 9/],
      [[2, 0], /t\.shape\[1\] must be a whole number of at least 1, not 0/],
      [[-1], /t\.shape\[0\].*not -1/],
      [[1.5], /t\.shape\[0\].*not 1.5/],
      [['1'], /t\.shape\[0\].*not "1"/],
      [[[1]], /t\.shape\[0\].*not an array/],
      [[null], /t\.shape\[0\].*not null/],
      [[2 ** 60], /t\.shape\[0\]/],
      [[2 ** 40, 2 ** 40], /t\.shape has more elements than can be counted/],
    ];
    for (const [shape, words] of cases)
      assert.match(
        refusal(() => checkShape(shape, 't')),
        words,
      );
  });
});

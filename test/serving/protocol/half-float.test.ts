import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import fc from 'fast-check';
import {
  bfloat16Bits,
  bfloat16FromBits,
  float16Bits,
  float16FromBits,
} from '../../../serving/protocol/half-float.ts';

/** Every finite binary16 that is not negative, ascending: what a rounding has to choose from. */
const halves = Array.from({ length: 0x7c00 }, (_, bits) => float16FromBits(bits));

describe('half-float: the 16-bit types', () => {
  it('reads and writes every bit pattern back, NaN as some NaN', () => {
    for (let bits = 0; bits < 0x10000; bits += 1) {
      const half = float16FromBits(bits);
      if (Number.isNaN(half)) assert.ok(Number.isNaN(float16FromBits(float16Bits(half))));
      else assert.equal(float16Bits(half), bits);
      const brain = bfloat16FromBits(bits);
      if (Number.isNaN(brain)) assert.ok(Number.isNaN(bfloat16FromBits(bfloat16Bits(brain))));
      else assert.equal(bfloat16Bits(brain), bits);
    }
  });

  it('has the values of IEEE 754 at the edges', () => {
    const known: [number, number][] = [
      [0x0001, 2 ** -24],
      [0x03ff, 2 ** -14 - 2 ** -24],
      [0x0400, 2 ** -14],
      [0x3c00, 1],
      [0x3555, 0.333251953125],
      [0x7bff, 65_504],
      [0x7c00, Infinity],
      [0xfc00, -Infinity],
      [0x8000, -0],
      [0xc000, -2],
    ];
    for (const [bits, value] of known) assert.ok(Object.is(float16FromBits(bits), value), String(value));
    assert.equal(bfloat16FromBits(0x3f80), 1);
    assert.equal(bfloat16FromBits(0x4049), 3.140625);
  });

  it('rounds any double to the nearest binary16, ties to even, as a search through all of them does', () => {
    const numbers = fc.oneof(
      fc.double({ min: -70_000, max: 70_000, noNaN: true }),
      fc.double({ min: -1e-4, max: 1e-4, noNaN: true }),
      // Halfway between two neighbours.
      fc.nat(0x7bfe).map((i) => ((halves[i] as number) + (halves[i + 1] as number)) / 2),
    );
    fc.assert(
      fc.property(numbers, (value) => {
        const size = Math.abs(value);
        const found = Math.abs(float16FromBits(float16Bits(value)));
        if (size >= 65_520) return found === Infinity;
        let low = 0;
        let high = halves.length - 1;
        while (low < high) {
          const middle = (low + high + 1) >> 1;
          if ((halves[middle] as number) <= size) low = middle;
          else high = middle - 1;
        }
        const below = halves[low] as number;
        const above = halves[low + 1] ?? below;
        const up = above - size < size - below || (above - size === size - below && low % 2 === 1);
        return found === (up ? above : below);
      }),
      { numRuns: 5000 },
    );
  });

  it('rounds a float32 to the nearest bfloat16: within half a unit, and never past a neighbour', () => {
    fc.assert(
      fc.property(
        fc.float({ noNaN: true, noDefaultInfinity: true, min: Math.fround(-3e38), max: Math.fround(3e38) }),
        (value) => {
          const found = bfloat16FromBits(bfloat16Bits(value));
          const step = Math.max(2 ** (Math.floor(Math.log2(Math.abs(value) || 2 ** -126)) - 7), 2 ** -133);
          return Math.abs(found - value) <= step / 2 + Number.EPSILON * Math.abs(value);
        },
      ),
      { numRuns: 2000 },
    );
    assert.equal(bfloat16FromBits(bfloat16Bits(1 + 2 ** -8)), 1, 'a tie goes to the even neighbour');
    assert.equal(bfloat16FromBits(bfloat16Bits(1 + 3 * 2 ** -8)), 1 + 2 ** -6);
  });
});

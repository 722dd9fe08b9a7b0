import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';
import { shortestFloat32 } from '../../../serving/protocol/float32.ts';

/** By definition: the first precision whose decimal reads back as the same float. */
function reference(value: number): string {
  for (let digits = 1; digits <= 9; digits += 1) {
    const text = Number(value.toPrecision(digits));
    if (Math.fround(text) === value) return String(text);
  }
  throw new Error(`no decimal for ${value}`);
}

describe('float32 output', () => {
  it('prints the shortest decimal that reads back as the same float32, for any float32', () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (value) => {
        const text = shortestFloat32(value);
        assert.equal(Math.fround(Number(text)), value === 0 ? 0 : value);
        assert.equal(text.length, reference(value).length);
      }),
      { numRuns: 20_000 },
    );
  });

  it('does so for probabilities, which take the quick path', () => {
    fc.assert(
      fc.property(fc.float({ min: 0, max: 1, noNaN: true }), (value) => {
        assert.equal(shortestFloat32(value), reference(value));
      }),
      { numRuns: 20_000 },
    );
  });

  it('prints 0.1 as 0.1 and not as the double that it is widened to', () => {
    assert.equal(shortestFloat32(Math.fround(0.1)), '0.1');
    assert.equal(shortestFloat32(1), '1');
    assert.equal(shortestFloat32(0), '0');
  });
});

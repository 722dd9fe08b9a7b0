import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import * as fc from 'fast-check';
import { SlipwayError } from '../../../domain/errors.ts';
import { canonicalJson } from '../../../domain/registry/index.ts';

describe('canonical JSON', () => {
  it('writes the example of RFC 8785, section 3.2.2, as section 3.2.3 gives it', () => {
    const value = {
      numbers: [Number('333333333.33333329'), 1e30, 4.5, 2e-3, 0.000000000000000000000000001],
      string: '\u20ac$\u000f\u000aA\'\u0042\u0022\u005c\\"/',
      literals: [null, true, false],
    };
    assert.equal(
      canonicalJson(value),
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
  });

  it('sorts keys by UTF-16 code units, as RFC 8785 section 3.2.3 demands', () => {
    const keys = ['\u20ac', '\r', '\ufb33', '1', '\u{1f600}', '\u0080', '\u00f6'];
    const sorted = ['\r', '1', '\u0080', '\u00f6', '\u20ac', '\u{1f600}', '\ufb33'];
    const text = canonicalJson(Object.fromEntries(keys.map((key) => [key, 0])));
    assert.equal(text, `{${sorted.map((key) => `${JSON.stringify(key)}:0`).join(',')}}`);
  });

  it('gives one text per value: it parses back, and the order of keys does not matter', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = canonicalJson(value);
        assert.equal(canonicalJson(JSON.parse(text)), text);
        assert.equal(canonicalJson(reversed(value)), text);
      }),
    );
  });

  const refused: readonly (readonly [string, unknown, string])[] = [
    ['undefined', { a: undefined }, '/a'],
    ['NaN', [1, Number.NaN], '/1'],
    ['infinity', { 'a/b': { '~': Infinity } }, '/a~1b/~0'],
    ['a bigint', 1n, ''],
    ['a function', { f: () => 1 }, '/f'],
    ['a date', { at: new Date(0) }, '/at'],
    ['a map', new Map(), ''],
    ['half a surrogate pair', ['\ud800'], '/0'],
    ['half a surrogate pair in a key', { '\udc00': 1 }, '/\udc00'],
    ['undefined in an array', { a: [undefined, 1] }, '/a/0'],
  ];
  for (const [what, value, pointer] of refused) {
    it(`refuses ${what} and says where`, () => {
      assert.throws(
        () => canonicalJson(value),
        (error) => error instanceof SlipwayError && error.problems[0]?.path === pointer,
      );
    });
  }
});

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, member]) => [key, reversed(member)]),
  );
}

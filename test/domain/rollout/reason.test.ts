import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { eValue, evidence, grouped, seconds } from '../../../domain/rollout/reason.ts';

describe('reason: numbers for people', () => {
  it('e-values of any size, cut and never rounded up to their threshold', () => {
    const cases: [number, string][] = [
      [1, '1'],
      [20, '20'],
      [19.999, '19.9'],
      [500, '500'],
      [1.2345, '1.23'],
      [0.0567, '0.0567'],
      [1000, '1,000'],
      [61_234, '6.1e4'],
      [0.00123, '1.2e-3'],
    ];
    for (const [value, text] of cases) assert.equal(eValue(Math.log(value)), text);
    assert.equal(eValue(5000), '2.9e2171');
    assert.equal(eValue(-5000), '3.3e-2172');
    assert.equal(eValue(Infinity), '∞');
    assert.equal(eValue(-Infinity), '0');
  });

  it('compares with the sign that the decision used', () => {
    assert.equal(evidence(Math.log(61_234), 500), 'e = 6.1e4 ≥ 500');
    assert.equal(evidence(Math.log(19.999), 20), 'e = 19.9 < 20');
    assert.equal(evidence(Math.log(20), 1 / 0.05), 'e = 20 ≥ 20');
    assert.equal(evidence(Math.log(300), 3 / 0.01), 'e = 300 ≥ 300');
  });

  it('groups thousands the same on every machine', () => {
    assert.equal(grouped(1_234_567), '1,234,567');
    assert.equal(grouped(999), '999');
    assert.equal(seconds(3_600_999), '3,600 s');
  });
});

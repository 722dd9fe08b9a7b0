import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { rebalance } from '../../../serving/processes/rebalance.ts';

const shedOf = (...connections: number[]): [number, number][] => [
  ...rebalance(new Map(connections.entries())),
];

describe('rebalancing of connections', () => {
  it('asks a crowded process to let go of what is above its share', () => {
    assert.deepEqual(shedOf(64, 0), [[0, 32]]);
    assert.deepEqual(shedOf(62, 2, 32), [[0, 30]]);
  });

  it('leaves small differences and single processes alone, so that callers do not connect again for nothing', () => {
    for (const connections of [[], [50], [1, 0], [2, 1], [33, 31], [36, 28], [0, 0, 0]]) {
      assert.deepEqual(shedOf(...connections), []);
    }
  });

  it('never asks for more than would make it even, and always leaves the quietest alone', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(500), { minLength: 1, maxLength: 8 }), (connections) => {
        const even = connections.reduce((a, b) => a + b, 0) / connections.length;
        const quietest = Math.min(...connections);
        for (const [slot, count] of shedOf(...connections)) {
          assert.ok(count > 0 && connections[slot]! - count >= even);
          assert.ok(connections[slot]! > quietest);
        }
      }),
    );
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { Decision } from '../../../domain/experiments/reward-join.ts';
import { joinReward, outcome } from '../../../domain/experiments/reward-join.ts';
import { abSpec } from './spec-fixture.ts';

const HOUR = 3_600_000;
const decision: Decision = {
  predictionId: 'p1',
  arm: 1,
  propensity: 0.2,
  snapshot: 7,
  decidedAtMs: 1_000_000,
};
const end = decision.decidedAtMs + 24 * HOUR;

describe('reward join', () => {
  const spec = abSpec();

  it('a reward counts until the window ends, and is late one millisecond after', () => {
    assert.deepEqual(joinReward(spec, decision, null, 1, end), { kind: 'accepted' });
    assert.deepEqual(joinReward(spec, decision, null, 1, end + 1), { kind: 'late', byMs: 1 });
  });

  it('the same reward again changes nothing, in the window and after it; another one is a conflict', () => {
    for (const nowMs of [decision.decidedAtMs, end + HOUR]) {
      assert.deepEqual(joinReward(spec, decision, 1, 1, nowMs), { kind: 'repeated' });
      assert.deepEqual(joinReward(spec, decision, 0, 1, nowMs), { kind: 'conflict', stored: 0 });
    }
  });

  it('an id without a decision is unknown; a value that the metric cannot have is invalid', () => {
    assert.deepEqual(joinReward(spec, null, null, 1, end), { kind: 'unknown' });
    const reward = abSpec({ metric: { kind: 'reward', absent: 'unknown' } });
    assert.equal(joinReward(spec, decision, null, 0.5, end).kind, 'invalid');
    assert.equal(joinReward(reward, decision, null, 0.5, end).kind, 'accepted');
    for (const value of [-0.1, 1.1, NaN, Infinity]) {
      assert.equal(joinReward(reward, decision, null, value, end).kind, 'invalid');
    }
  });

  it('missing rewards that are unknown stay out; rewards count as they come', () => {
    assert.deepEqual(outcome(spec, decision, 1, decision.decidedAtMs), { kind: 'counts', reward: 1 });
    assert.deepEqual(outcome(spec, decision, null, end), { kind: 'waiting' });
    assert.deepEqual(outcome(spec, decision, null, end + 1), { kind: 'none' });
  });

  it('missing rewards that are zeros: nothing counts before the window has closed, then everything does', () => {
    const zero = abSpec({ metric: { kind: 'conversion', absent: 'zero' } });
    assert.deepEqual(outcome(zero, decision, 1, end), { kind: 'waiting' });
    assert.deepEqual(outcome(zero, decision, 1, end + 1), { kind: 'counts', reward: 1 });
    assert.deepEqual(outcome(zero, decision, null, end + 1), { kind: 'counts', reward: 0 });
  });
});

/** Guarantee: the limit follows what the load does not explain, and nothing else. */
import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { DEFAULT_GRADIENT, GradientLimit } from '../../../serving/admission/gradient-limit.ts';
import { createRng } from '../../support/rng.ts';

/** Windows of 100 samples around `ratio`, with the given number under way. */
function run(
  limit: GradientLimit,
  windows: number,
  ratio: (window: number) => number,
  inFlight?: number,
): void {
  const random = createRng(3);
  for (let window = 0; window < windows; window += 1) {
    const level = ratio(window);
    for (let i = 0; i < 100; i += 1) {
      limit.sample(level * (0.8 + 0.4 * random.next()), inFlight ?? Math.ceil(limit.limit));
    }
    limit.update();
  }
}

describe('admission: the adaptive limit', () => {
  it('grows to its maximum while latency is what the load explains, and stays there', () => {
    const limit = new GradientLimit();
    run(limit, 600, () => 1);
    assert.equal(limit.limit, DEFAULT_GRADIENT.max);
  });

  it('falls back within ten seconds to where more requests begin to take longer than explained', () => {
    const limit = new GradientLimit();
    run(limit, 400, () => 1);
    // A backend that slows down in proportion to what is above 60 under way.
    run(limit, 100, () => Math.max(1, limit.limit / 60));
    assert.ok(limit.limit > 60 && limit.limit < 200, `${limit.limit}`);
  });

  it('halves within two seconds when everything takes four times as long, and never falls below its minimum', () => {
    const limit = new GradientLimit();
    run(limit, 400, () => 1);
    const before = limit.limit;
    run(limit, 20, () => 4);
    assert.ok(limit.limit < before / 2, `${limit.limit} after ${before}`);
    run(limit, 100, (window) => 4 * 1.2 ** window);
    assert.ok(limit.limit >= DEFAULT_GRADIENT.min);
  });

  it('comes back when the slowness is over', () => {
    const limit = new GradientLimit();
    run(limit, 100, () => 1);
    run(limit, 30, () => 5);
    run(limit, 300, () => 1);
    assert.ok(limit.limit > 400, `${limit.limit}`);
  });

  it('learns nothing from a window in which nobody came near it, or from fewer than ten samples', () => {
    const limit = new GradientLimit();
    run(limit, 50, () => 1, 2);
    run(limit, 50, () => 10, 2);
    assert.equal(limit.limit, DEFAULT_GRADIENT.initial);
    for (let i = 0; i < 9; i += 1) limit.sample(100, 128);
    limit.update();
    assert.equal(limit.limit, DEFAULT_GRADIENT.initial);
  });
});

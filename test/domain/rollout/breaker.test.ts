import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';
import { SlipwayError } from '../../../domain/errors.ts';
import {
  breakerReason,
  createBreaker,
  DEFAULT_BREAKER,
  recordOutcome,
} from '../../../domain/rollout/breaker.ts';
import { binomialLogE } from '../../../domain/rollout/e-process.ts';
import { createRng } from '../../support/rng.ts';

/** Feeds `pattern` (x = failure, o = success), repeated, and returns the request that tripped the breaker. */
function tripAt(pattern: string, requests: number, settings = DEFAULT_BREAKER): number | null {
  const breaker = createBreaker(settings);
  for (let i = 0; i < requests; i += 1) {
    if (recordOutcome(breaker, pattern[i % pattern.length] === 'x')) return i + 1;
  }
  return null;
}

describe('breaker', () => {
  it('total breakage trips a new arm on exactly the 4th request, by evidence', () => {
    // Bets on 10, 20, 40 and 80 % against 5 %: (2⁴ + 4⁴ + 8⁴ + 16⁴) / 4 = 17,476; after three it is 1,170 < 2,000.
    assert.equal(tripAt('x', 10), 4);
  });

  it('total breakage trips any arm on the 5th request at the latest', () => {
    for (const healthy of [1, 100, 10_000, 360_000]) {
      const breaker = createBreaker();
      for (let i = 0; i < healthy; i += 1) recordOutcome(breaker, false);
      let failures = 0;
      for (; breaker.tripped === null; failures += 1) recordOutcome(breaker, true);
      assert.ok(failures <= 5, `${failures} failures after ${healthy} successes`);
    }
  });

  it('trips by rate exactly when the e-value over all requests, or over the present block of 256, says so', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 30 }), fc.nat(2000), (seed, percent, healthy) => {
        const rng = createRng(seed);
        const breaker = createBreaker({ ...DEFAULT_BREAKER, consecutiveFailures: Infinity });
        const outcomes: boolean[] = [];
        const evidence = (all: readonly boolean[]): number =>
          binomialLogE(all.length, all.filter(Boolean).length, 0.05, [0.1, 0.2, 0.4, 0.8]);
        for (let i = 0; i < healthy + 500 && breaker.tripped === null; i += 1) {
          outcomes.push(rng.chance(i < healthy ? 0.005 : percent / 100));
          const block = Math.ceil(outcomes.length / 256);
          const failed = outcomes.at(-1) as boolean;
          const tripped = recordOutcome(breaker, failed);
          if (!failed) continue;
          const due =
            evidence(outcomes) >= Math.log(2000) ||
            evidence(outcomes.slice(256 * (block - 1))) >= Math.log(2000 * block * (block + 1));
          assert.equal(tripped, due);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('a success in between starts the count of consecutive failures again', () => {
    const settings = { ...DEFAULT_BREAKER, eValue: 1e300 };
    assert.equal(tripAt('xxxxo', 100, settings), null);
    assert.equal(tripAt('oxxxxx', 100, settings), 6);
  });

  it('every second request failing trips on exactly the 12th', () => {
    // 6 of 12 at 5 %, bets on 10/20/40/80 %; the first to pass 2 · 1,000.
    assert.equal(tripAt('ox', 1000), 12);
  });

  it('one in five failing trips on exactly the 65th, one in ten on the 440th', () => {
    assert.equal(tripAt('oooox', 1000), 65);
    assert.equal(tripAt('ooooooooox', 5000), 440);
  });

  it('the tolerated rate itself never trips in an even stream of 200,000', () => {
    assert.equal(tripAt('o'.repeat(19) + 'x', 200_000), null);
  });

  it('an arm that was healthy for long is not shielded by its past', () => {
    const breaker = createBreaker();
    for (let i = 0; i < 360_000; i += 1) recordOutcome(breaker, i % 200 === 0);
    let requests = 0;
    for (; breaker.tripped === null; requests += 1) recordOutcome(breaker, requests % 2 === 0);
    assert.ok(requests <= 300, `${requests} requests at 50 % failures`);
  });

  it('an arm at the tolerated rate is tripped by rate at most once in 1,000 runs', () => {
    let tripped = 0;
    for (let seed = 1; seed <= 2000; seed += 1) {
      const rng = createRng(seed);
      // The consecutive rule has no such promise and is switched off here.
      const breaker = createBreaker({ ...DEFAULT_BREAKER, consecutiveFailures: Infinity });
      for (let i = 0; i < 3000; i += 1) if (recordOutcome(breaker, rng.chance(0.05))) break;
      if (breaker.tripped !== null) tripped += 1;
    }
    // 2 expected at most; more than 6 would have a probability below 0.5 % if the promise held.
    assert.ok(tripped <= 6, `${tripped} of 2,000`);
  });

  it('stays tripped, keeps its reason, and a new breaker starts over', () => {
    const breaker = createBreaker();
    assert.equal(breakerReason(breaker), null);
    recordOutcome(breaker, false);
    for (let i = 0; i < 5; i += 1) recordOutcome(breaker, true);
    for (let i = 0; i < 100; i += 1) assert.equal(recordOutcome(breaker, false), true);
    assert.equal(breakerReason(breaker), 'the failure rate is above 5 % (4 of 5 requests failed, e ≥ 1000)');
    assert.equal(createBreaker().tripped, null);
  });

  it('says which rule it was', () => {
    const breaker = createBreaker();
    for (let i = 0; i < 1000; i += 1) recordOutcome(breaker, false);
    for (let i = 0; i < 5; i += 1) recordOutcome(breaker, true);
    assert.equal(breakerReason(breaker), '5 requests in a row failed (5 of 1005 requests failed)');
  });

  it('refuses settings that can never trip or always do', () => {
    for (const changed of [
      { toleratedRate: 0 },
      { toleratedRate: 1 },
      { consecutiveFailures: 0 },
      { eValue: 1 },
    ]) {
      assert.throws(
        () => createBreaker({ ...DEFAULT_BREAKER, ...changed }),
        (error) => error instanceof SlipwayError,
      );
    }
  });
});

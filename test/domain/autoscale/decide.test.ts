import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { decide, DEFAULT_SCALING_POLICY, NO_HISTORY } from '../../../domain/autoscale/index.ts';
import type { ProcessSample, ScalingPolicy, ScalingState } from '../../../domain/autoscale/index.ts';

const POLICY: ScalingPolicy = { ...DEFAULT_SCALING_POLICY, min: 1, max: 8, targetRequestsPerSecond: 100 };
const idle: ProcessSample = { requests: 0, requestsPerSecond: 0, p99Ms: null, utilisation: 0.01 };
const sampleOf = (requestsPerSecond: number, utilisation = 0.1, p99Ms: number | null = 5): ProcessSample => ({
  requests: Math.floor(requestsPerSecond),
  requestsPerSecond,
  p99Ms,
  utilisation,
});

/** A machine whose processes share the load evenly; answers with the number of processes at each second. */
function play(
  policy: ScalingPolicy,
  seconds: number,
  load: (second: number, processes: number) => ProcessSample,
  start = policy.min,
): number[] {
  let state: ScalingState = NO_HISTORY;
  let processes = start;
  const seen: number[] = [];
  for (let second = 0; second < seconds; second += 1) {
    const samples = Array.from({ length: processes }, () => load(second, processes));
    ({ processes, state } = decide(state, { processes, samples }, policy, second * 1000));
    seen.push(processes);
  }
  return seen;
}

const anySample = fc.record({
  requests: fc.nat(10_000),
  requestsPerSecond: fc.double({ min: 0, max: 10_000, noNaN: true }),
  p99Ms: fc.option(fc.double({ min: 0, max: 5000, noNaN: true })),
  utilisation: fc.double({ min: 0, max: 1, noNaN: true }),
});

describe('autoscaling', () => {
  it('adds processes once the load has asked for them for the whole window, and not before', () => {
    const seen = play(POLICY, 12, (_second, processes) => sampleOf(350 / processes));
    assert.deepEqual(seen, [1, 1, 1, 1, 1, 4, 4, 4, 4, 4, 4, 4]);
  });

  it('does not add any for a burst that is over within the window', () => {
    const seen = play(POLICY, 30, (second) => sampleOf(second % 5 === 0 ? 20 : 800));
    assert.ok(seen.every((processes) => processes === 1));
  });

  it('takes the mildest wish of the window, so that one second of noise does not start eight', () => {
    const seen = play(POLICY, 6, (second) => sampleOf(second === 3 ? 5000 : 180));
    assert.equal(seen.at(-1), 2);
  });

  it('takes processes away one at a time, each after a whole window', () => {
    const seen = play(POLICY, 200, () => idle, 4);
    assert.deepEqual(
      [seen.indexOf(3), seen.indexOf(2), seen.indexOf(1)],
      [60, 120, 180],
      'seconds at which one process went',
    );
  });

  it('starts the window on the way down anew when the load comes back for a second', () => {
    const seen = play(POLICY, 100, (second) => (second === 50 ? sampleOf(150) : idle), 2);
    assert.ok(seen.every((processes) => processes === 2));
  });

  it('adds by event-loop utilisation and by latency where the requests alone are few', () => {
    assert.equal(play(POLICY, 8, (_s, n) => sampleOf(10, Math.min(1, 1.3 / n))).at(-1), 2);
    assert.equal(play(POLICY, 8, (_s, n) => sampleOf(30, 0.1, n === 1 ? 80 : 20)).at(-1), 2);
  });

  it('does not believe the p99 of a handful of requests', () => {
    assert.equal(play(POLICY, 20, () => sampleOf(5, 0.1, 900)).at(-1), 1);
  });

  it('keeps what latency asked for until the load itself is lower', () => {
    const slowAlone = (rate: number) => (_second: number, n: number) =>
      sampleOf(rate / n, 0.1, n === 1 ? 80 : 10);
    const seen = play(POLICY, 400, slowAlone(60));
    assert.ok(
      seen.slice(10).every((processes) => processes === 2),
      'no second try with one',
    );
    const calmer = play(POLICY, 400, (second, n) =>
      second < 100 ? slowAlone(60)(second, n) : sampleOf(45 / n, 0.1, 10),
    );
    assert.deepEqual([calmer[99], calmer.at(-1)], [2, 1]);
  });

  it('never takes a process away while one does not report', () => {
    fc.assert(
      fc.property(
        fc.array(anySample, { maxLength: 7 }),
        fc.integer({ min: 1, max: 4 }),
        fc.nat(1_000_000),
        (samples, missing, nowMs) => {
          const processes = Math.min(POLICY.max, samples.length + missing);
          const present = samples.slice(0, processes - 1);
          const state = { up: null, down: { sinceMs: -10_000_000, processes: 1 }, floor: null };
          assert.ok(decide(state, { processes, samples: present }, POLICY, nowMs).processes >= processes);
        },
      ),
    );
  });

  it('never leaves its bounds, whatever is measured', () => {
    const bounds = fc
      .tuple(fc.integer({ min: 1, max: 6 }), fc.nat(6))
      .map(([min, more]) => ({ ...POLICY, min, max: min + more }));
    fc.assert(
      fc.property(
        bounds,
        fc.nat(20),
        fc.array(fc.array(anySample, { maxLength: 8 }), { maxLength: 40 }),
        (policy, start, looks) => {
          let state: ScalingState = NO_HISTORY;
          let processes = start;
          for (const [i, samples] of looks.entries()) {
            ({ processes, state } = decide(state, { processes, samples }, policy, i * 7000));
            assert.ok(processes >= policy.min && processes <= policy.max);
          }
        },
      ),
    );
  });

  it('ends in a constant number under any constant load, from any start', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 2000, noNaN: true }),
        fc.double({ min: 0, max: 6, noNaN: true }),
        fc.double({ min: 0.5, max: 200, noNaN: true }),
        fc.integer({ min: 1, max: 8 }),
        (rate, work, latency, start) => {
          const policy = { ...POLICY, stabilisationMsDown: 10_000 };
          const seen = play(
            policy,
            400,
            // Each process costs a little by itself; latency falls with the load on each.
            (_s, n) => sampleOf(rate / n, Math.min(1, work / n + 0.02), (latency * 2) / n),
            start,
          );
          const last = seen.slice(200);
          assert.ok(
            last.every((n) => n === last[0]),
            `still moving: ${[...new Set(last)].join(', ')}`,
          );
        },
      ),
      { numRuns: 300 },
    );
  });

  it('never gives fewer processes for more load', () => {
    const pressure = fc.option(
      fc.record({ sinceMs: fc.integer({ min: 0, max: 90_000 }), processes: fc.integer({ min: 1, max: 8 }) }),
    );
    const anyState = fc.record({
      up: pressure,
      down: pressure,
      floor: fc.option(
        fc.record({
          processes: fc.integer({ min: 1, max: 8 }),
          requestsPerSecond: fc.double({ min: 0, max: 900, noNaN: true }),
        }),
      ),
    });
    const more = fc.double({ min: 1, max: 4, noNaN: true });
    fc.assert(
      fc.property(
        anyState,
        fc.array(anySample, { minLength: 1, maxLength: 8 }),
        more,
        more,
        more,
        (state, samples, a, b, c) => {
          const busier = samples.map((sample) => ({
            requests: Math.ceil(sample.requests * a),
            requestsPerSecond: sample.requestsPerSecond * a,
            p99Ms: sample.p99Ms === null ? null : sample.p99Ms * b,
            utilisation: Math.min(1, sample.utilisation * c),
          }));
          const processes = samples.length;
          const calm = decide(state, { processes, samples }, POLICY, 95_000).processes;
          const busy = decide(state, { processes, samples: busier }, POLICY, 95_000).processes;
          assert.ok(busy >= calm, `${busy} < ${calm}`);
        },
      ),
      { numRuns: 500 },
    );
  });
});

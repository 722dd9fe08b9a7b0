import { strict as assert } from 'node:assert';
import { describe, it } from 'mocha';
import { createObserveActivities } from '../../activities/observe.ts';
import type { ObserveInput, OwnerLiveness } from '../../activities/observe.ts';
import { manualClock, memoryRoutes, pulse, scriptedEvidence } from './fakes.ts';

const second = (bad: number, requests = 100, candidateBad = 0) => ({
  champion: { requests: requests * 0.9, errors: bad },
  candidate: { requests: requests * 0.1, errors: candidateBad },
});

function setUp(
  windows: Parameters<typeof scriptedEvidence>[1],
  owners: OwnerLiveness = { isRunning: () => Promise.resolve(true) },
) {
  const clock = manualClock();
  const routes = memoryRoutes(null);
  const evidence = scriptedEvidence(clock, windows);
  const controller = new AbortController();
  const { observeStep } = createObserveActivities({
    routes,
    evidence,
    owners,
    clock,
    pulse: pulse(controller.signal),
  });
  const input: ObserveInput = {
    endpoint: 'e',
    generation: 3,
    epoch: 1,
    firstGeneration: 2,
    candidate: 'B',
    kind: 'canary',
    share: 0.1,
    guardrails: [{ name: 'errors', tolerance: 0.1, margin: 2, negligibleRate: 0.02 }],
    minSamples: 100,
    minDurationMs: 3000,
    maxDurationMs: 120_000,
    alphaRegression: 0.01,
    leaseMs: 8000,
    startedAtMs: clock.now(),
    hold: false,
    owner: { workflowId: 'release/e/1', runId: 'r' },
  };
  return { clock, routes, evidence, controller, observeStep, input };
}

const repeat = (n: number, window: ReturnType<typeof second>) => Array.from({ length: n }, () => window);

describe('observeStep', () => {
  it('proves a healthy candidate, and only after the minimum time', async () => {
    const { observeStep, input, clock } = setUp(repeat(60, second(0)));
    const verdict = await observeStep(input);
    assert.equal(verdict.verdict, 'PROVEN_SAFE', verdict.reason);
    assert.ok(clock.monotonic() >= 3000);
  });

  it('stops a failing candidate within a few of its failures', async () => {
    const { observeStep, input, clock } = setUp(repeat(60, second(0, 100, 2)));
    const verdict = await observeStep(input);
    assert.equal(verdict.verdict, 'REGRESSION', verdict.reason);
    assert.ok(clock.monotonic() <= 5000, `took ${clock.monotonic()} ms`);
  });

  it("ends at once on a gateway's trip", async () => {
    const { observeStep, input, evidence, clock } = setUp(repeat(60, second(0)));
    evidence.tripReason = 'five failures in a row';
    const verdict = await observeStep(input);
    assert.equal(verdict.verdict, 'REGRESSION');
    assert.match(verdict.reason, /five failures in a row/);
    assert.equal(clock.monotonic(), 0);
  });

  it('a later attempt reads the same evidence again and comes to the same verdict', async () => {
    const windows = [...repeat(10, second(1)), ...repeat(50, second(1, 100, 3))];
    const first = setUp(windows);
    const verdict = await first.observeStep(first.input);
    const again = await first.observeStep(first.input);
    assert.equal(again.verdict, verdict.verdict);
    assert.deepEqual(again.readings, verdict.readings);
  });

  it('does not promote on silence: lost telemetry ends the step after a minute', async () => {
    const { observeStep, input, clock } = setUp(repeat(2, second(0)));
    const verdict = await observeStep(input);
    assert.equal(verdict.verdict, 'TELEMETRY_LOST', verdict.reason);
    assert.ok(clock.monotonic() <= 65_000);
  });

  it('renews the lease only while its owner runs', async () => {
    const alive = setUp(repeat(60, second(0)));
    await alive.observeStep(alive.input);
    assert.ok(alive.routes.renewals >= 2);
    const orphaned = setUp(repeat(60, second(0)), { isRunning: () => Promise.resolve(false) });
    await orphaned.observeStep(orphaned.input);
    assert.equal(orphaned.routes.renewals, 0);
  });

  it('a lease that has lapsed is not revived: the step ends and the champion is restored', async () => {
    const { observeStep, input, routes } = setUp(repeat(60, second(0)));
    routes.lapsed = true;
    assert.equal((await observeStep(input)).verdict, 'TELEMETRY_LOST');
  });

  it('while paused it neither advances nor runs out of time, but still stops a regression', async () => {
    const windows = [...repeat(200, second(0)), ...repeat(60, second(0, 100, 3))];
    const { observeStep, input, clock } = setUp(windows);
    const verdict = await observeStep({ ...input, hold: true });
    assert.equal(verdict.verdict, 'REGRESSION');
    assert.ok(clock.monotonic() > input.maxDurationMs);
  });

  it('a cancelled observation ends without a verdict', async () => {
    const { observeStep, input, controller } = setUp(repeat(60, second(0)));
    controller.abort(new Error('cancelled'));
    await assert.rejects(observeStep(input), /cancelled/);
  });
});

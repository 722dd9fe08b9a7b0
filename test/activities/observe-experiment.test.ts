import { strict as assert } from 'node:assert';
import { beforeEach, describe, it } from 'mocha';
import type { ExperimentStore } from '../../activities/experiment-ports.ts';
import { createExperimentActivities, createObserveExperimentActivities } from '../../activities/index.ts';
import { startExperiment } from '../../domain/experiments/index.ts';
import type { ExperimentPlan, ExperimentSnapshot } from '../../domain/experiments/index.ts';
import type { Route } from '../../domain/routing/route.ts';
import { manualClock, memoryRoutes, pulse } from './fakes.ts';

const CHAMPION = 'sha256:a';
const PLAN: ExperimentPlan = {
  name: 'x',
  hypothesis: null,
  arms: [
    { name: 'a', version: 'champion', weightBp: 5000 },
    { name: 'b', version: 'next', weightBp: 5000 },
  ],
  policy: { kind: 'ab' },
  metric: { kind: 'conversion', absent: 'unknown' },
  alpha: 0.05,
  minSamples: 100,
  minimumEffect: 0.01,
  maxDurationMs: 3_600_000,
  rewardWindowMs: 60_000,
  leaseMs: 60_000,
};
const ARMS = [
  { name: 'a', version: CHAMPION },
  { name: 'b', version: 'sha256:b' },
];
const RUNNING = { name: 'x', arms: ARMS, sticky: true, salt: 's', leaseMs: 60_000 };
const ROUTE: Route = {
  endpoint: 'e',
  generation: 4,
  epoch: 2,
  champion: CHAMPION,
  candidate: null,
  standby: null,
  experiment: RUNNING,
};

describe('observeExperiment', () => {
  const clock = manualClock();
  let looks: number;
  let trip: string | null;
  let snapshot: ExperimentSnapshot;
  let ended: unknown[];
  const started = { owner: true };
  beforeEach(() => {
    looks = 0;
    trip = null;
    snapshot = startExperiment(PLAN, 0);
    ended = [];
    started.owner = true;
  });

  const store: ExperimentStore = {
    planOf: async () => PLAN,
    hasBegun: async () => false,
    resolve: async () => 'sha256:b',
    open: async () => snapshot,
    advance: async () => {
      looks += 1;
      clock.advance(10_000);
      return snapshot;
    },
    trip: async () =>
      trip === null
        ? null
        : { gatewayId: 'g', endpoint: 'e', generation: 4, version: 'sha256:b', reason: trip, atMs: 0 },
    end: async (end) => void ended.push(end),
  };
  function observe(routes: ReturnType<typeof memoryRoutes>, abort = new AbortController()) {
    const { observeExperiment } = createObserveExperimentActivities({
      experiments: store,
      routes,
      clock,
      pulse: pulse(abort.signal),
      owners: { isRunning: () => Promise.resolve(started.owner) },
      lookMs: 1,
    });
    const startedAtMs = clock.now();
    const owner = { workflowId: 'w', runId: 'r' };
    return observeExperiment({
      endpoint: 'e',
      name: 'x',
      plan: PLAN,
      epoch: 2,
      generation: 4,
      startedAtMs,
      owner,
    });
  }

  it('ends as interrupted when somebody else has the endpoint, without another look', async () => {
    const end = await observe(memoryRoutes({ ...ROUTE, epoch: 3, experiment: null }));
    assert.equal(end.outcome, 'interrupted');
    assert.equal(looks, 0);
  });

  it('a winner ends it; too few rewards do not', async () => {
    const totals = (sum: number) => ({ decisions: 5000, totals: { rewards: 5000, sum, sumSquares: sum } });
    snapshot = { ...snapshot, arms: [totals(500), totals(2500)] };
    assert.deepEqual(await observe(memoryRoutes(ROUTE)).then(({ outcome, winner }) => [outcome, winner]), [
      'winner',
      'b',
    ]);
  });

  it('arms that did not get their shares cannot be compared', async () => {
    const none = { rewards: 0, sum: 0, sumSquares: 0 };
    snapshot = {
      ...snapshot,
      arms: [
        { decisions: 6000, totals: none },
        { decisions: 4000, totals: none },
      ],
    };
    const { outcome, reason } = await observe(memoryRoutes(ROUTE));
    assert.equal(outcome, 'invalid');
    assert.match(reason, /sample-ratio mismatch/);
  });

  it('an arm that a gateway took out ends it', async () => {
    trip = 'five failures in a row';
    const { outcome, reason } = await observe(memoryRoutes(ROUTE));
    assert.equal(outcome, 'invalid');
    assert.match(reason, /five failures/);
  });

  it('its time ends it, and until then the lease is renewed', async () => {
    const routes = memoryRoutes(ROUTE);
    assert.equal((await observe(routes)).outcome, 'expired');
    assert.ok(looks > 100 && routes.renewals > 50, `${looks} looks, ${routes.renewals} renewals`);
  });

  it('a lease that nobody stands behind is not renewed', async () => {
    started.owner = false;
    const routes = memoryRoutes(ROUTE);
    await observe(routes);
    assert.equal(routes.renewals, 0);
  });

  it('a lease that lapsed ends it as interrupted', async () => {
    const routes = memoryRoutes(ROUTE);
    routes.lapsed = true;
    assert.equal((await observe(routes)).outcome, 'interrupted');
  });

  const prepare = (route: Route | null, running: boolean, rollout: string | null = null) => {
    const routes = memoryRoutes(route);
    const activities = createExperimentActivities({
      experiments: store,
      routes,
      rollouts: { owner: () => Promise.resolve(rollout) },
      isExperimentRunning: () => Promise.resolve(running),
    });
    return { routes, activities, prepared: activities.prepareExperiment({ endpoint: 'e', name: 'x' }) };
  };

  it('does not begin beside another experiment, a rollout, or without a champion', async () => {
    const other = { ...ROUTE, experiment: { ...RUNNING, name: 'other' } };
    await assert.rejects(prepare(other, true).prepared, { code: 'EXPERIMENT_RUNNING' });
    await assert.rejects(prepare({ ...ROUTE, experiment: null }, false, 'e/3').prepared, {
      code: 'ROLLOUT_IN_PROGRESS',
    });
    await assert.rejects(prepare(null, false).prepared, { code: 'NO_CHAMPION' });
    const { arms, generation } = await prepare({ ...ROUTE, experiment: null }, false).prepared;
    assert.deepEqual([arms, generation], [ARMS, 4]);
  });

  it('one whose workflow is gone is cleared away, and is no obstacle', async () => {
    const { routes, prepared } = prepare(ROUTE, false);
    assert.equal((await prepared).generation, 5);
    assert.equal((await routes.read('e'))?.experiment, null);
    assert.equal(ended.length, 1);
  });

  it('what an earlier start of the same name left on the route is no obstacle to the next one', async () => {
    assert.equal((await prepare(ROUTE, true).prepared).generation, 5);
  });

  it('the end never undoes a route that has replaced the experiment', async () => {
    const { routes, activities } = prepare({ ...ROUTE, epoch: 3, experiment: null }, false);
    const end = { endpoint: 'e', name: 'x', epoch: 2, actor: 'ann', reason: 'r' };
    assert.deepEqual(await activities.restoreFromExperiment(end), { generation: null });
    assert.equal((await routes.read('e'))?.generation, 4);
  });
});

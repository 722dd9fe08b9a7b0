import { strict as assert } from 'node:assert';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { EXPERIMENT_DEFAULTS } from '../../domain/experiments/index.ts';
import type { ExperimentPlan } from '../../domain/experiments/index.ts';
import type { GatewayFlush, PredictionRow } from '../../domain/rollout/arm-window.ts';
import { linUcbPolicy } from '../../serving/routing/lin-ucb-policy.ts';
import { approvalOf, digestOf, MODEL, openRegistry, query, withCode } from './registry-fixture.ts';
import type { RegistryFixture } from './registry-fixture.ts';

const IT = { endpoint: MODEL, name: 'prices' };
const HOUR = 3_600_000;

const PLAN: ExperimentPlan = {
  name: IT.name,
  hypothesis: null,
  arms: [
    { name: 'a', version: 'champion', weightBp: 5000 },
    { name: 'b', version: 'v2', weightBp: 5000 },
  ],
  policy: { kind: 'ab' },
  metric: { kind: 'conversion', absent: 'unknown' },
  alpha: 0.05,
  minSamples: 10,
  minimumEffect: 0.01,
  maxDurationMs: 24 * HOUR,
  rewardWindowMs: HOUR,
  leaseMs: 60_000,
};
const THOMPSON: ExperimentPlan = {
  ...PLAN,
  arms: PLAN.arms.map(({ name, version }) => ({ name, version })),
  policy: {
    kind: 'bandit',
    algorithm: 'discounted-thompson',
    gamma: EXPERIMENT_DEFAULTS.gamma,
    floor: 0.05,
    stepBp: 1000,
  },
};

describe('experiments in the registry', () => {
  let registry: RegistryFixture;
  let seq = 0;
  const arms = [
    { name: 'a', version: digestOf('v1') },
    { name: 'b', version: digestOf('v2') },
  ];
  const routed = { name: IT.name, arms, sticky: true, salt: 's', leaseMs: 60_000 };
  const change = (
    key: string,
    wanted: Parameters<RegistryFixture['routes']['change']>[0]['change'],
    epoch = 1,
  ) => registry.routes.change({ endpoint: MODEL, epoch, change: wanted, key, actor: 'ann', reason: 'test' });

  beforeEach(async () => {
    registry = await openRegistry(['v1', 'v2']);
    for (const label of ['v1', 'v2']) await registry.versions.recordApproval(approvalOf(label, 'bob'));
    await change('bootstrap', { kind: 'bootstrap', version: digestOf('v1') });
  });
  afterEach(() => registry.close());

  async function open(plan = PLAN): Promise<number> {
    const { route } = await change('experiment', { kind: 'experiment', experiment: routed });
    const { generation } = route;
    await registry.experiments.open({ ...IT, plan, arms, generation, runId: 'run', actor: 'ann' });
    return generation;
  }

  /** `ids` decided by `arm`, as gateways flush them. */
  async function decide(
    generation: number,
    arm: 'a' | 'b',
    ids: readonly string[],
    atMs = Date.now(),
    context?: readonly number[],
  ): Promise<void> {
    const version = digestOf(arm === 'a' ? 'v1' : 'v2');
    const here = { endpoint: MODEL, generation, arm: `exp:${arm}` as const, version };
    const flush: GatewayFlush = {
      gatewayId: 'g',
      bootId: 'boot',
      seq: ++seq,
      windows: [
        {
          ...here,
          startMs: atMs,
          endMs: atMs + 1000,
          requests: ids.length,
          errors: 0,
          slow: 0,
          invalid: 0,
          diverged: 0,
          pairs: 0,
          latencyMicros: 1,
        },
      ],
      predictions: ids.map((predictionId): PredictionRow => ({
        ...here,
        predictionId,
        atMs,
        score: 0.5,
        decision: 1,
        experiment: IT.name,
        propensity: 0.5,
        snapshot: 1,
        ...(context === undefined ? {} : { context }),
      })),
    };
    await registry.sink.flush(flush);
  }
  const reward = (ids: readonly string[], value = 1) =>
    registry.rewards.addRewards(
      ids.map((predictionId) => ({ predictionId, reward: value, observedAtMs: Date.now() })),
    );
  const ids = (prefix: string, count: number) => Array.from({ length: count }, (_, i) => `${prefix}${i}`);

  it('two updaters at once count each reward once, and no version twice', async () => {
    const generation = await open();
    await decide(generation, 'a', ids('a', 300));
    await decide(generation, 'b', ids('b', 300));
    await reward(ids('a', 300), 0);
    await reward(ids('b', 300));
    await Promise.all(Array.from({ length: 6 }, () => registry.experiments.advance(IT)));
    await reward(ids('later', 1));
    const [latest] = await registry.experiments.snapshots(IT, 10);
    assert.deepEqual(
      latest?.arms.map(({ decisions, totals }) => [decisions, totals.rewards, totals.sum]),
      [
        [300, 300, 0],
        [300, 300, 300],
      ],
    );
    assert.equal(
      (await registry.experiments.advance(IT)).version,
      latest.version,
      'nothing new, no new version',
    );
    assert.equal(latest.version, 2);
  });

  it('a reward that comes before its prediction is stored counts when that arrives, once', async () => {
    const generation = await open();
    await reward(ids('x', 5));
    assert.equal((await registry.experiments.advance(IT)).version, 1);
    await decide(generation, 'b', ids('x', 5));
    const { arms: counted } = await registry.experiments.advance(IT);
    assert.deepEqual(counted[1], { decisions: 5, totals: { rewards: 5, sum: 5, sumSquares: 5 } });
    await decide(generation, 'b', ids('y', 1));
    assert.equal((await registry.experiments.advance(IT)).arms[1]?.totals.rewards, 5);
  });

  it('the first reward of a prediction stands: the same again is a duplicate, another one conflicts', async () => {
    const generation = await open();
    await decide(generation, 'a', ['p', 'q']);
    assert.deepEqual(await reward(['p', 'q', 'p']), { accepted: 2, duplicate: 1, conflicting: 0 });
    assert.deepEqual(await reward(['p']), { accepted: 0, duplicate: 1, conflicting: 0 });
    assert.deepEqual(await reward(['q', 'r'], 0), { accepted: 1, duplicate: 0, conflicting: 1 });
    await registry.experiments.advance(IT);
    const tally = await registry.experiments.tally(await registry.experiments.get(IT));
    assert.deepEqual(tally, {
      received: 2,
      counted: 2,
      late: 0,
      invalid: 0,
      waiting: 0,
      duplicate: 2,
      conflicting: 1,
    });
  });

  it('late rewards and values that are none of the metric count for nothing, and are shown', async () => {
    const generation = await open();
    await decide(generation, 'a', ['old'], Date.now() - 2 * HOUR);
    await decide(generation, 'a', ['half', 'good']);
    await reward(['old', 'good']);
    await reward(['half'], 0.5);
    const snapshot = await registry.experiments.advance(IT);
    assert.deepEqual([snapshot.late, snapshot.invalid, snapshot.arms[0]?.totals.rewards], [1, 1, 1]);
    const { late, invalid, counted } = await registry.experiments.tally(await registry.experiments.get(IT));
    assert.deepEqual([late, invalid, counted], [1, 1, 1]);
  });

  it('when absent rewards are zeros, all outcomes of a decision count when its window closes', async () => {
    const generation = await open({
      ...PLAN,
      metric: { kind: 'conversion', absent: 'zero' },
      rewardWindowMs: 1000,
    });
    await decide(generation, 'a', ['in-time', 'never']);
    await reward(['in-time']);
    assert.equal((await registry.experiments.advance(IT)).arms[0]?.totals.rewards, 0, 'still open');
    await new Promise((resolve) => setTimeout(resolve, 1100));
    const { arms: counted } = await registry.experiments.advance(IT);
    assert.deepEqual(counted[0]?.totals, { rewards: 2, sum: 1, sumSquares: 1 });
  });

  it('a bandit moves its shares, and gateways read the newest allocation', async () => {
    const generation = await open(THOMPSON);
    await decide(generation, 'a', ids('a', 500));
    await decide(generation, 'b', ids('b', 500));
    await reward(ids('a', 500), 0);
    await reward(ids('b', 500));
    const { version, sharesBp } = await registry.experiments.advance(IT);
    assert.deepEqual(sharesBp, [4000, 6000], 'ten points within a minute');
    const { endpoints } = await registry.feed.read();
    assert.deepEqual(endpoints[0]?.allocation, { experiment: IT.name, version, sharesBp, contextual: null });
    assert.ok((endpoints[0]?.leaseRemainingMs ?? 0) > 50_000);
    const log = await registry.experiments.logged(await registry.experiments.get(IT), 10_000);
    assert.equal(log.length, 1000);
    assert.deepEqual(
      log.find(({ arm }) => arm === 1),
      { arm: 1, propensity: 0.5, reward: 1 },
    );
  });

  it('LinUCB learns from the context that was stored with the decision, and gateways get its table', async () => {
    const plan: ExperimentPlan = {
      ...THOMPSON,
      policy: {
        kind: 'bandit',
        algorithm: 'linucb',
        gamma: 1,
        floor: 0.05,
        width: 0.1,
        ridge: 1,
        context: ['nswprice'],
      },
    };
    const generation = await open(plan);
    for (const value of [0, 1]) {
      for (const arm of ['a', 'b'] as const) {
        const decided = ids(`${arm}${value}-`, 50);
        await decide(generation, arm, decided, Date.now(), [value]);
        // a is right at 0, b at 1.
        await reward(decided, (arm === 'b') === (value === 1) ? 1 : 0);
      }
    }
    await registry.experiments.advance(IT);
    const { endpoints } = await registry.feed.read();
    const contextual = endpoints[0]?.allocation?.contextual;
    assert.deepEqual(contextual?.columns, ['nswprice']);
    const policy = linUcbPolicy(contextual!, ['other', 'nswprice']);
    const chosen = [0, 1].map((value) => policy.choose(Float32Array.of(7, value), () => 0.9));
    assert.deepEqual(
      chosen.map(({ index, context }) => [index, context]),
      [
        [0, [0]],
        [1, [1]],
      ],
    );
    assert.ok(Math.abs(chosen[0]!.propensity - 0.975) < 1e-9);
    assert.equal(policy.choose(Float32Array.of(7, Number.NaN), () => 0.9).context, undefined);
  });

  it('without an open experiment a route gives no allocation, and an ended one is not moved', async () => {
    await change('experiment', { kind: 'experiment', experiment: routed });
    assert.equal((await registry.feed.read()).endpoints[0]?.allocation, null);
    await assert.rejects(registry.experiments.advance(IT), withCode('EXPERIMENT_NOT_FOUND'));
    const generation = (await registry.routes.read(MODEL))!.generation;
    const opening = { ...IT, plan: PLAN, arms, generation, runId: 'run', actor: 'ann' };
    await registry.experiments.open(opening);
    await registry.experiments.open(opening);
    await assert.rejects(registry.experiments.open({ ...opening, runId: 'other' }), withCode('WRONG_PHASE'));
    const end = { ...IT, runId: 'run', outcome: 'stopped', reason: 'x', winner: null, actor: 'ann' } as const;
    await registry.experiments.end(end);
    await registry.experiments.end({ ...end, outcome: 'failed' });
    assert.equal((await registry.experiments.get(IT)).outcome, 'stopped');
    await assert.rejects(registry.experiments.advance(IT), withCode('WRONG_PHASE'));
    assert.equal((await registry.feed.read()).endpoints[0]?.allocation, null);
    const { ok } = await registry.audit.verify(async () => true);
    assert.ok(ok);
  });

  it('the lease is renewed by its owner only; a rollout ends the experiment and fences its owner off', async () => {
    const generation = await open();
    const owner = { endpoint: MODEL, generation, epoch: 1 };
    assert.equal(await registry.routes.renewLease(owner), true);
    await assert.rejects(
      change('second', { kind: 'experiment', experiment: routed }),
      withCode('EXPERIMENT_RUNNING'),
    );
    await change('prepare', { kind: 'prepare', version: digestOf('v2'), salt: 'r', leaseMs: 60_000 }, 2);
    assert.equal((await registry.routes.read(MODEL))?.experiment, null);
    assert.equal(await registry.routes.renewLease(owner), false);
    await assert.rejects(change('restore', { kind: 'restore' }), withCode('EPOCH_FENCED'));
    await assert.rejects(
      change('third', { kind: 'experiment', experiment: routed }, 2),
      withCode('ROLLOUT_IN_PROGRESS'),
    );
  });

  it('an arm must be a version of this endpoint that is not revoked', async () => {
    const arm = { name: 'b', version: digestOf('unknown') };
    const wrong = { ...routed, arms: [routed.arms[0]!, arm] };
    await assert.rejects(
      change('x', { kind: 'experiment', experiment: wrong }),
      withCode('VERSION_NOT_FOUND'),
    );
    await registry.versions.revoke({ kind: 'version', subject: digestOf('v2'), reason: 'x', actor: 'ann' });
    await assert.rejects(
      change('y', { kind: 'experiment', experiment: routed }),
      withCode('VERSION_REVOKED'),
    );
    await assert.rejects(
      registry.experiments.resolve(MODEL, digestOf('v2').slice(7, 19)),
      withCode('VERSION_REVOKED'),
    );
    assert.equal(await registry.experiments.resolve(MODEL, digestOf('v1')), digestOf('v1'));
    assert.equal(await registry.experiments.resolve(MODEL, 'champion'), digestOf('v1'), 'an alias');
    await assert.rejects(registry.experiments.resolve(MODEL, 'nobody'), withCode('VERSION_NOT_FOUND'));
  });

  it('what an experiment was and what it counted cannot be rewritten', async () => {
    await open();
    for (const statement of [
      `update experiment_snapshots set shares_bp = '[0, 10000]'`,
      `delete from experiment_snapshots`,
      `update rewards set reward = 1`,
      `update reward_counts set verdict = 'late'`,
      `update experiments set plan = '{}'`,
      `delete from experiments`,
    ]) {
      await assert.rejects(query(registry, statement), /refuses|cannot be changed/, statement);
    }
  });

  it('a hundred thousand rewards are joined in seconds', async () => {
    const generation = await open(THOMPSON);
    for (let batch = 0; batch < 10; batch++) {
      await decide(generation, batch % 2 === 0 ? 'a' : 'b', ids(`b${batch}-`, 10_000));
      await reward(ids(`b${batch}-`, 10_000), batch % 2);
    }
    const start = performance.now();
    const { arms: counted } = await registry.experiments.advance(IT);
    const ms = performance.now() - start;
    assert.equal(
      counted.reduce((sum, { totals }) => sum + totals.rewards, 0),
      100_000,
    );
    assert.ok(ms < 5000, `${ms} ms`);
    console.log(`      joined in ${Math.round(ms)} ms`);
  });

  it('evidence of a rollout never has arms of an experiment in it', async () => {
    const generation = await open();
    await decide(generation, 'b', ids('b', 10));
    const { champion, candidate } = await registry.evidence.windows({
      endpoint: MODEL,
      generation,
      after: {},
    });
    assert.deepEqual([champion.requests, candidate.requests], [0, 0]);
  });
});

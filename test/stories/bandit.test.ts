/**
 * Given two versions on a real gateway, a real registry and the real workflow, when one of them earns more, then the
 * bandit gives it the traffic, `show` says so, and a stop gives the champion everything back.
 */
import { strict as assert } from 'node:assert';
import { Client as TemporalClient, Connection } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { after, before, describe, it } from 'mocha';
import {
  createExperimentActivities,
  createObserveExperimentActivities,
  createTrafficActivities,
  domainErrors,
} from '../../activities/index.ts';
import { evaluateShares, experimentDetail } from '../../api/experiment-detail.ts';
import { createTemporalExperiments } from '../../api/temporal-experiments.ts';
import type { ExperimentPlan } from '../../domain/experiments/index.ts';
import type { VersionDescriptor } from '../../domain/registry/index.ts';
import { systemClock } from '../../platform/clock.ts';
import { startTelemetry } from '../../platform/telemetry/index.ts';
import { temporalTracing } from '../../platform/telemetry/temporal.ts';
import { TASK_QUEUES } from '../../workflows/messages.ts';
import { activityPulse } from '../../workers/adapters/pulse.ts';
import { isExperimentRunning } from '../../workers/adapters/rollouts.ts';
import { workflowBundle } from '../../workers/workflow-bundle.ts';
import { manifestOf, openRegistry, versionOf } from '../db/registry-fixture.ts';
import type { RegistryFixture } from '../db/registry-fixture.ts';
import { ENDPOINT, SPEC } from '../serving/control-plane.ts';
import { eventually, GatewayFixture } from '../serving/gateway-fixture.ts';
import type { Client } from '../serving/gateway-fixture.ts';
import { createRng } from '../support/rng.ts';
import { quietRuntime } from '../support/runtime.ts';
import { sharedTemporal } from '../support/stack.ts';

const IT = { endpoint: ENDPOINT, name: 'prices' };
/** Chance of a conversion. */
const EARNS: Readonly<Record<string, number>> = { 'exp:a': 0.1, 'exp:b': 0.6 };

describe('a bandit on live traffic', function () {
  this.timeout(60_000);
  const random = createRng(11);
  let registry: RegistryFixture;
  let gateways: GatewayFixture;
  let gateway: Client;
  let stop: () => Promise<void>;
  let runs: ReturnType<typeof createTemporalExperiments>;

  before(async () => {
    registry = await openRegistry();
    gateways = await GatewayFixture.create();
    const champion = await gateways.version('linear');
    const better = await gateways.version('shifted');
    await registry.models.apply(
      manifestOf({
        name: ENDPOINT,
        features: SPEC.features,
        experiments: [planOf(better.digest.slice(7, 19))],
      }),
      'ann',
    );
    const release = { model: ENDPOINT, parameters: {}, skipShadow: false, submittedBy: 'ann' };
    const { id } = await registry.releases.create(release);
    for (const version of [champion, better]) await register(version, id);
    await registry.routes.change({
      endpoint: ENDPOINT,
      epoch: await registry.routes.nextEpoch(ENDPOINT),
      key: 'bootstrap',
      change: { kind: 'bootstrap', version: champion.digest },
      actor: 'ann',
      reason: 'first',
    });
    gateway = await gateways.start({ feed: registry.feed, sink: registry.sink, registry: registry.gateways });
    await gateway.ready();
    ({ runs, stop } = await openWorker(registry));
  });
  after(async () => {
    await stop();
    await gateways.remove();
    await registry.close();
  });

  function planOf(version: string): ExperimentPlan {
    return {
      name: IT.name,
      hypothesis: 'b earns more',
      arms: [
        { name: 'a', version: 'champion' },
        { name: 'b', version },
      ],
      policy: { kind: 'bandit', algorithm: 'discounted-thompson', gamma: 0.9999, floor: 0.05, stepBp: 5000 },
      metric: { kind: 'conversion', absent: 'unknown' },
      alpha: 0.05,
      minSamples: 100,
      minimumEffect: 0.01,
      maxDurationMs: 3_600_000,
      rewardWindowMs: 60_000,
      leaseMs: 60_000,
    };
  }

  async function register(version: VersionDescriptor, releaseId: string): Promise<void> {
    const { digest, model, files, tensors, bundle, approvals, policyDigest, evidenceDigest } = version;
    const { lineage, createdAt } = versionOf('any', releaseId);
    await registry.versions.register(
      { digest, model, files, signature: tensors, bundle, lineage, createdAt },
      'w',
    );
    await registry.versions.recordApproval({
      model,
      subjectDigest: digest,
      policyDigest,
      evidenceDigest,
      decision: 'approved',
      approver: 'ada',
      comment: '',
      decidedAt: '2026-01-01T00:00:00.000Z',
      expiresAt: '2026-01-08T00:00:00.000Z',
      requiredApprovals: 1,
      envelope: approvals[0]!,
    });
  }

  /** A batch of requests, each rewarded by what its arm earns. @returns arms that answered */
  async function traffic(count: number): Promise<readonly string[]> {
    const answers = await Promise.all(Array.from({ length: count }, () => gateway.predict()));
    const served = answers.map(({ body: { parameters } }) => parameters);
    const rewards = served
      .filter(({ arm }) => arm in EARNS)
      .map(({ prediction_id, arm }) => ({
        predictionId: prediction_id,
        reward: random.chance(EARNS[arm] ?? 0) ? 1 : 0,
        observedAtMs: Date.now(),
      }));
    await registry.rewards.addRewards(rewards);
    return served.map(({ arm }) => arm);
  }
  const detail = async () =>
    experimentDetail(
      registry.experiments,
      await registry.experiments.get(IT),
      await registry.routes.read(ENDPOINT),
      Date.now(),
    );

  it('moves to the arm that earns more, says so, and gives everything back when it is stopped', async () => {
    assert.deepEqual(new Set(await traffic(5)), new Set(['champion']));
    assert.equal((await runs.start({ ...IT, actor: 'ann' })).open, true);
    await eventually(async () => (await traffic(20)).some((arm) => arm === 'exp:b'), 'both arms serve');

    await eventually(
      async () => {
        await traffic(40);
        return ((await detail()).arms[1]?.shareBp ?? 0) > 9000;
      },
      'the better arm has most of the traffic',
      30_000,
    );
    await eventually(
      async () => (await traffic(100)).filter((arm) => arm === 'exp:b').length > 80,
      'the gateway follows',
    );
    const seen = await detail();
    assert.equal(seen.status, 'running');
    const [a, b] = seen.arms;
    assert.ok(
      a !== undefined && b !== undefined && (b.mean ?? 0) > (a.mean ?? 1) + 0.2,
      JSON.stringify(seen.arms),
    );
    assert.ok(b.posterior !== null && b.posterior.a > 10 && b.interval.lower > a.interval.upper);
    assert.equal(seen.sampleRatio.mismatch, null);
    assert.equal(seen.rewards.late + seen.rewards.invalid, 0);

    const all = await evaluateShares(registry.experiments, seen.experiment, { b: 100 });
    assert.ok(Math.abs(all.snips.value - 0.6) < 0.15, JSON.stringify(all));
    assert.ok(all.effectiveSampleSize > 10);

    const ended = await runs.stop(IT, { actor: 'ann', reason: 'seen enough' });
    assert.equal(ended.end?.outcome, 'stopped');
    await eventually(
      async () => (await traffic(20)).every((arm) => arm === 'champion'),
      'the champion serves',
    );
    const over = await detail();
    assert.deepEqual([over.status, over.experiment.outcome], ['ended', 'stopped']);
    assert.equal((await registry.routes.read(ENDPOINT))?.experiment, null);
    await assert.rejects(runs.start({ ...IT, actor: 'ann' }), /another name/);
  });
});

async function openWorker(registry: RegistryFixture) {
  quietRuntime();
  const { address, namespace } = await sharedTemporal();
  const telemetry = startTelemetry({ service: 'test', otlpEndpoint: undefined, sampleRatio: 1 });
  const plugins = [temporalTracing(telemetry)];
  const connection = await Connection.connect({ address });
  const client = new TemporalClient({ connection, namespace });
  const native = await NativeConnection.connect({ address });
  const { routes, versions, experiments } = registry;
  const worker = await Worker.create({
    connection: native,
    namespace,
    plugins,
    taskQueue: TASK_QUEUES.control,
    workflowBundle: await workflowBundle(plugins),
    maxHeartbeatThrottleInterval: '200ms',
    interceptors: { activity: [() => ({ inbound: domainErrors })] },
    activities: {
      ...createTrafficActivities({ routes, versions, pulse: activityPulse }),
      ...createExperimentActivities({
        experiments,
        routes,
        rollouts: { owner: () => Promise.resolve(null) },
        isExperimentRunning: (name) => isExperimentRunning(client, name),
      }),
      ...createObserveExperimentActivities({
        experiments,
        routes,
        clock: systemClock,
        pulse: activityPulse,
        lookMs: 200,
        owners: { isRunning: () => Promise.resolve(true) },
      }),
    },
  });
  const running = worker.run();
  return {
    runs: createTemporalExperiments(client),
    async stop(): Promise<void> {
      worker.shutdown();
      await running;
      await connection.close();
      await native.close();
      await telemetry.shutdown();
    },
  };
}

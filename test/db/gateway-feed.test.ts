import { strict as assert } from 'node:assert';
import { EventEmitter, once } from 'node:events';
import { afterEach, beforeEach, describe, it } from 'mocha';
import type { RouteChange } from '../../domain/routing/route.ts';
import { SERVING_DEFAULTS } from '../../domain/manifest/serving-spec.ts';
import {
  approvalOf,
  digestOf,
  manifestOf,
  MODEL,
  openRegistry,
  tamper,
  versionOf,
} from './registry-fixture.ts';
import type { RegistryFixture } from './registry-fixture.ts';

const NEVER = new AbortController().signal;

describe('what gateways read and write', () => {
  let registry: RegistryFixture;
  const change = (key: string, wanted: RouteChange) =>
    registry.routes.change({ endpoint: MODEL, epoch: 1, change: wanted, key, actor: 'ann', reason: 'test' });

  beforeEach(async () => {
    registry = await openRegistry(['v1']);
    await registry.versions.recordApproval(approvalOf('v1', 'bob'));
    await change('bootstrap', { kind: 'bootstrap', version: digestOf('v1') });
  });
  afterEach(() => registry.close());

  it('one read gives everything that is needed to serve every endpoint', async () => {
    const { endpoints, revocations } = await registry.feed.read();
    assert.deepEqual(revocations, { digests: [], keyIds: [] });
    assert.equal(endpoints.length, 1);
    const [state] = endpoints;
    assert.deepEqual(state?.route, await registry.routes.read(MODEL));
    assert.deepEqual(state?.versions, [await registry.versions.describe(digestOf('v1'))]);
    assert.deepEqual(state?.spec, {
      endpoint: MODEL,
      features: manifestOf().features,
      latencySloMs: 50,
      scoreTolerance: 0.05,
      serving: manifestOf().serving,
      featureViews: [],
    });
    assert.equal(state?.leaseRemainingMs, null);
  });

  it('a manifest that was only applied changes nothing for callers until a version of it is promoted', async () => {
    const features = [{ name: 'nswprice' }, { name: 'lagged' }];
    await registry.models.apply(manifestOf({ features, slo: { latencyMs: 20 } }), 'ann');
    const spec = async () => (await registry.feed.read()).endpoints[0]!.spec;
    assert.deepEqual((await spec()).features, manifestOf().features);
    const release = { model: MODEL, parameters: {}, skipShadow: false, submittedBy: 'ann' };
    const { id } = await registry.releases.create(release);
    await registry.versions.register(versionOf('v2', id), 'worker');
    await change('prepare', { kind: 'prepare', version: digestOf('v2'), salt: id, leaseMs: 60_000 });
    assert.deepEqual((await spec()).features, manifestOf().features);
    assert.equal((await spec()).latencySloMs, 20, 'the candidate is judged by its own release');
    await change('promote', { kind: 'promote', version: digestOf('v2'), standbyUntilMs: 2_000_000_000_000 });
    assert.deepEqual((await spec()).features, features);
    const versions = (await registry.feed.read()).endpoints[0]!.versions.map(({ digest }) => digest);
    assert.deepEqual(versions, [digestOf('v2'), digestOf('v1')], 'the standby stays loaded');
  });

  it('a manifest that an earlier Slipway stored is read with the defaults of what it could not say', async () => {
    await tamper(registry.url, `update model_manifests set manifest = manifest - 'serving' - 'featureViews'`);
    const [state] = (await registry.feed.read()).endpoints;
    assert.deepEqual(state?.spec.serving, SERVING_DEFAULTS);
    assert.deepEqual(state?.spec.featureViews, []);
    assert.deepEqual((await registry.models.get(MODEL)).manifest, manifestOf());
    assert.deepEqual(
      (await registry.models.list()).map(({ manifest }) => manifest),
      [manifestOf()],
    );
    const opened = await registry.releases.open(`${MODEL}/1`);
    assert.deepEqual(opened.manifest, manifestOf());
  });

  it('a subscriber is told of route changes and revocations', async () => {
    const changes = new EventEmitter();
    const subscription = await registry.feed.subscribe(() => changes.emit('change'));
    for (const work of [
      () => change('restore', { kind: 'restore' }),
      () => registry.versions.revoke({ kind: 'key', subject: 'k', reason: 'leak', actor: 'ann' }),
    ]) {
      const told = once(changes, 'change');
      await work();
      await told;
    }
    await subscription.close();
  });

  it('a gateway lives while it says so, and what it applied wakes whoever waits for it', async () => {
    const gateway = { gatewayId: 'g1', url: 'http://127.0.0.1:8301' };
    const ack = {
      gatewayId: 'g1',
      endpoint: MODEL,
      generation: 1,
      versions: { [digestOf('v1')]: { state: 'loading' as const } },
    };
    assert.deepEqual(await registry.routes.liveGateways(MODEL), []);
    const wait = registry.routes.waitForAcknowledgement(MODEL, 10_000, NEVER);
    await registry.gateways.acknowledge(gateway, [ack]);
    await wait;
    assert.deepEqual(await registry.routes.liveGateways(MODEL), [{ ...gateway, acknowledgement: ack }]);
    assert.deepEqual(await registry.routes.liveGateways('bank'), [{ ...gateway, acknowledgement: null }]);

    const start = performance.now();
    const quiet = registry.routes.waitForAcknowledgement(MODEL, 300, NEVER);
    await registry.gateways.acknowledge(gateway, [ack]);
    await quiet;
    assert.ok(performance.now() - start >= 299, 'a heartbeat that says nothing new wakes nobody');
    const ready = { ...ack, versions: { [digestOf('v1')]: { state: 'ready' as const } } };
    await registry.gateways.acknowledge(gateway, [ready]);
    assert.deepEqual((await registry.routes.liveGateways(MODEL))[0]?.acknowledgement, ready);

    await registry.db.pool.query(`update gateways set last_seen = now() - interval '5.1 s'`);
    assert.deepEqual(await registry.routes.liveGateways(MODEL), []);
    await registry.gateways.acknowledge(gateway, [ready]);
    await registry.gateways.leave('g1');
    await registry.gateways.leave('g1');
    assert.deepEqual(await registry.routes.liveGateways(MODEL), []);
  });
});

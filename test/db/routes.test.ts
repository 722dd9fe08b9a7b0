import { strict as assert } from 'node:assert';
import { afterEach, beforeEach, describe, it } from 'mocha';
import type { ChangeRequest } from '../../activities/ports.ts';
import type { RouteChange } from '../../domain/routing/route.ts';
import { digestOf, manifestOf, MODEL, openRegistry, query, versionOf, withCode } from './registry-fixture.ts';
import type { RegistryFixture } from './registry-fixture.ts';

const [V1, V2, V3] = [digestOf('v1'), digestOf('v2'), digestOf('v3')];
const prepare = (version = V2, leaseMs = 60_000): RouteChange => ({
  kind: 'prepare',
  version,
  salt: 'elec2/2',
  leaseMs,
});
const promote: RouteChange = { kind: 'promote', version: V2, standbyUntilMs: 2_000_000_000_000 };

describe('routes', () => {
  let registry: RegistryFixture;
  const change = (key: string, epoch: number, wanted: RouteChange, more: Partial<ChangeRequest> = {}) =>
    registry.routes.change({
      endpoint: MODEL,
      epoch,
      change: wanted,
      key,
      actor: 'ann',
      reason: 'test',
      ...more,
    });

  beforeEach(async () => {
    registry = await openRegistry(['v1', 'v2', 'v3']);
    await change('bootstrap', 1, { kind: 'bootstrap', version: V1 });
  });
  afterEach(() => registry.close());

  it('writes only from the generation that the writer read', async () => {
    const { route } = await change('prepare', 1, prepare(), { expectedGeneration: 1 });
    assert.equal(route.generation, 2);
    await assert.rejects(
      change('late', 1, { kind: 'shadow', version: V2, mirrorBp: 10_000 }, { expectedGeneration: 1 }),
      withCode('GENERATION_CONFLICT'),
    );
    assert.deepEqual(await registry.routes.read(MODEL), route);
  });

  it('the same key gives the generation that it made, and says whether that is still the present one', async () => {
    const first = await change('prepare', 1, prepare(), { expectedGeneration: 1 });
    assert.deepEqual(await change('prepare', 1, prepare(), { expectedGeneration: 1 }), first);
    assert.equal(first.current, true);
    await change('rollback', 2, { kind: 'restore' });
    assert.deepEqual(await change('prepare', 1, prepare(), { expectedGeneration: 1 }), {
      ...first,
      current: false,
    });
    const { generation } = (await registry.routes.read(MODEL))!;
    assert.equal(generation, 3);
    await assert.rejects(change('prepare', 2, { kind: 'restore' }), withCode('INVALID_REQUEST'));
  });

  it('a higher epoch fences every writer with a lower one, and the next epoch is higher still', async () => {
    const stale = await registry.routes.nextEpoch(MODEL);
    const owner = await registry.routes.nextEpoch(MODEL);
    assert.ok(owner > stale);
    await change('prepare', owner, prepare());
    await assert.rejects(change('stale', stale, { kind: 'restore' }), withCode('EPOCH_FENCED'));
    await change('far', 1000, { kind: 'restore' });
    assert.equal(await registry.routes.nextEpoch(MODEL), 1001);
  });

  it('two first champions at once: one is written, the other is refused', async () => {
    await registry.models.apply(manifestOf({ name: 'bank' }), 'ann');
    for (const label of ['b1', 'b2'])
      await registry.versions.register(versionOf(label, 'bank/1', 'bank'), 'worker');
    const race = await Promise.allSettled(
      ['b1', 'b2', 'b1', 'b2'].map((label, index) =>
        change(`bank-${index}`, 1, { kind: 'bootstrap', version: digestOf(label) }, { endpoint: 'bank' }),
      ),
    );
    assert.equal(race.filter(({ status }) => status === 'fulfilled').length, 1);
    for (const lost of race) if (lost.status === 'rejected') assert.ok(withCode('WRONG_PHASE')(lost.reason));
    assert.equal((await registry.routes.history('bank')).length, 1);
  });

  it('what serves comes from the registry: an unknown, foreign, revoked or never promoted version is refused', async () => {
    await assert.rejects(change('a', 1, prepare(digestOf('nobody'))), withCode('VERSION_NOT_FOUND'));
    await registry.models.apply(manifestOf({ name: 'bank' }), 'ann');
    await registry.versions.register(versionOf('b1', 'bank/1', 'bank'), 'worker');
    await assert.rejects(change('b', 1, prepare(digestOf('b1'))), withCode('INVALID_REQUEST'));
    const rollback = { kind: 'rollback', version: V3, standbyUntilMs: 0 } as const;
    await assert.rejects(change('c', 1, rollback), withCode('NO_FORMER_CHAMPION'));
    await change('d', 1, prepare());
    await registry.versions.revoke({ kind: 'version', subject: V2, reason: 'poisoned data', actor: 'ann' });
    await assert.rejects(change('e', 1, promote), withCode('VERSION_REVOKED'));
    assert.equal((await registry.routes.read(MODEL))!.champion, V1);
  });

  it('"what served the endpoint at that time" has one answer, and the alias champion follows', async () => {
    await change('prepare', 1, prepare());
    await change('promote', 1, promote);
    await change('rollback', 2, { kind: 'rollback', version: V1, standbyUntilMs: 2_000_000_000_000 });
    const spans = await query<{ version: string; from: Date; until: Date | null }>(
      registry,
      'select version, lower(during) as "from", upper(during) as until from production_history order by during',
    );
    assert.deepEqual(
      spans.map(({ version }) => version),
      [V1, V2, V1],
    );
    assert.deepEqual(spans[0]?.until, spans[1]?.from);
    assert.equal(await registry.routes.championAt(MODEL, Date.now() + 60_000), V1);
    assert.equal(await registry.routes.championAt(MODEL, 0), null);
    assert.deepEqual(await registry.routes.formerChampions(MODEL), [V2]);
    assert.deepEqual(await registry.aliases.list(MODEL), [
      { model: MODEL, name: 'champion', digest: V1, generation: 3 },
    ]);
    const history = await registry.routes.history(MODEL);
    assert.deepEqual(
      history.map(({ generation, change: { kind } }) => [generation, kind]),
      [
        [1, 'bootstrap'],
        [2, 'prepare'],
        [3, 'promote'],
        [4, 'rollback'],
      ],
    );
    assert.deepEqual(history.at(-1)?.after, await registry.routes.read(MODEL));
  });

  it('a clock that was set back makes neither two champions nor none', async () => {
    await query(registry, `alter table production_history disable trigger all`);
    await query(
      registry,
      `update production_history set during = tstzrange(now() + interval '1 hour', null)`,
    );
    await query(registry, `alter table production_history enable trigger all`);
    await change('prepare', 1, prepare());
    await change('promote', 1, promote);
    const [joint] = await query<{ closed: boolean }>(
      registry,
      `select a.during -|- b.during as closed from production_history a, production_history b
        where a.generation = 1 and b.generation = 3`,
    );
    assert.equal(joint?.closed, true);
  });

  it('a lease is renewed only by its owner, only while it lasts, and ends by itself', async () => {
    const lease = { endpoint: MODEL, generation: 2, epoch: 1 };
    assert.equal(
      await registry.routes.renewLease({ ...lease, generation: 1 }),
      false,
      'no candidate, no lease',
    );
    await change('prepare', 1, prepare(V2, 300));
    const remaining = async () => (await registry.feed.read()).endpoints[0]?.leaseRemainingMs ?? null;
    await new Promise((resolve) => setTimeout(resolve, 60));
    const before = (await remaining())!;
    assert.equal(await registry.routes.renewLease(lease), true);
    assert.ok((await remaining())! > before);
    assert.equal(await registry.routes.renewLease({ ...lease, epoch: 2 }), false);
    assert.equal(await registry.routes.renewLease({ ...lease, generation: 3 }), false);
    await new Promise((resolve) => setTimeout(resolve, 350));
    assert.equal(await remaining(), 0);
    assert.equal(await registry.routes.renewLease(lease), false, 'a lapsed lease must not come back to life');
    await change('canary', 1, { kind: 'canary', version: V2, weightBp: 500 });
    assert.ok((await remaining())! > 200, 'a new generation starts a new lease');
    await change('restore', 1, { kind: 'restore' });
    assert.equal(await remaining(), null);
  });
});

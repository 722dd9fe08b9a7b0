import { strict as assert } from 'node:assert';
import { after, before, describe, it } from 'mocha';
import { digestOf, manifestOf, MODEL, openRegistry, query, withCode } from './registry-fixture.ts';
import type { RegistryFixture } from './registry-fixture.ts';

const REQUEST = { model: MODEL, parameters: { trees: 80 }, skipShadow: false, submittedBy: 'ann' };

describe('releases', () => {
  let registry: RegistryFixture;
  before(async () => {
    registry = await openRegistry(['v1', 'v2']);
  });
  after(() => registry.close());

  it('are numbered one after the other, also when many are asked for at once', async () => {
    const made = await Promise.all(Array.from({ length: 8 }, () => registry.releases.create(REQUEST)));
    assert.deepEqual(
      made.map(({ id }) => id).sort(),
      Array.from({ length: 8 }, (_, index) => `${MODEL}/${index + 2}`).sort(),
    );
    assert.equal(made[0]?.bootstrap, true);
    assert.equal((await registry.releases.list({ model: MODEL, limit: 3 })).length, 3);
    await assert.rejects(
      registry.releases.create({ ...REQUEST, model: 'nobody' }),
      withCode('MODEL_NOT_FOUND'),
    );
  });

  it('the same request sent twice makes one release; its key is for that request only', async () => {
    const request = { ...REQUEST, requestKey: 'ci-run-7' };
    const first = await registry.releases.create(request);
    assert.deepEqual(await registry.releases.create(request), first);
    await assert.rejects(
      registry.releases.create({ ...request, skipShadow: true }),
      withCode('INVALID_REQUEST'),
    );
  });

  it('is bound when it is first opened: a new manifest or champion changes nothing for it', async () => {
    const { id, manifestDigest } = await registry.releases.create(REQUEST);
    const opened = await registry.releases.open(id);
    assert.equal(opened.champion, null);
    assert.equal(opened.manifestDigest, manifestDigest);
    await registry.models.apply(manifestOf({ riskTier: 'high' }), 'ann');
    await registry.routes.change({
      endpoint: MODEL,
      epoch: 1,
      key: 'bootstrap',
      actor: 'ann',
      reason: 'first',
      change: { kind: 'bootstrap', version: digestOf('v1') },
    });
    assert.deepEqual(await registry.releases.open(id), opened);
    assert.equal((await registry.releases.get(id)).bootstrap, true);
    const next = await registry.releases.create(REQUEST);
    assert.equal(next.bootstrap, false);
    const reopened = await registry.releases.open(next.id);
    assert.equal(reopened.champion, digestOf('v1'));
    assert.notEqual(reopened.policyDigest, opened.policyDigest);
    await assert.rejects(registry.releases.open(`${MODEL}/999`), withCode('RELEASE_NOT_FOUND'));
  });

  it('a timeline line is written once per key and moves the release only then', async () => {
    const { id: releaseId } = await registry.releases.create(REQUEST);
    const trained = {
      releaseId,
      key: 'train',
      phase: 'train',
      message: 'trained',
      detail: { rows: 10 },
    } as const;
    await registry.releases.record(trained);
    const done = {
      releaseId,
      key: 'done',
      phase: 'done',
      message: 'rolled back',
      candidate: digestOf('v2'),
      outcome: 'rolled_back',
      reason: 'errors',
    } as const;
    await registry.releases.record(done);
    await registry.releases.record(trained);
    const release = await registry.releases.get(releaseId);
    assert.deepEqual(
      [release.phase, release.outcome, release.reason, release.candidate],
      ['done', 'rolled_back', 'errors', digestOf('v2')],
    );
    assert.deepEqual(
      (await registry.releases.timeline(releaseId)).map(({ phase, message, detail }) => [
        phase,
        message,
        detail,
      ]),
      [
        ['train', 'trained', { rows: 10 }],
        ['done', 'rolled back', {}],
      ],
    );
  });

  it('an unknown stored phase is an error and not a default', async () => {
    const { id } = await registry.releases.create(REQUEST);
    await query(registry, 'alter table releases drop constraint releases_phase');
    await query(registry, `update releases set phase = 'limbo' where id = $1`, [id]);
    await assert.rejects(registry.releases.get(id), withCode('INTERNAL'));
  });
});

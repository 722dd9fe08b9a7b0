import { strict as assert } from 'node:assert';
import { after, before, describe, it } from 'mocha';
import { policyDigest } from '../../db/digests.ts';
import {
  approvalOf,
  digestOf,
  manifestOf,
  MODEL,
  openRegistry,
  query,
  versionOf,
  withCode,
} from './registry-fixture.ts';
import type { RegistryFixture } from './registry-fixture.ts';

describe('models, versions, approvals and names', () => {
  let registry: RegistryFixture;
  const auditRows = async (): Promise<number> =>
    (await query<{ rows: number }>(registry, 'select count(*)::int as rows from audit_log'))[0]!.rows;
  /** What is done twice leaves one effect: the same answer, and not one audit row more. */
  async function twice<T>(work: () => Promise<T>): Promise<T> {
    const first = await work();
    const rows = await auditRows();
    assert.deepEqual(await work(), first);
    assert.equal(await auditRows(), rows);
    return first;
  }

  before(async () => {
    registry = await openRegistry(['v1']);
  });
  after(() => registry.close());

  it('a manifest is applied once by its content, however its keys are ordered', async () => {
    const manifest = manifestOf({ name: 'bank' });
    const first = await registry.models.apply(manifest, 'ann');
    assert.equal(first.changed, true);
    const reordered = Object.fromEntries(Object.entries(manifest).toReversed()) as unknown as typeof manifest;
    const again = await twice(() => registry.models.apply(reordered, 'ann'));
    assert.deepEqual(again, { ...first, changed: false });
    const changed = await registry.models.apply({ ...manifest, owner: 'sales' }, 'ann');
    assert.equal(changed.changed, true);
    assert.notEqual(changed.manifestDigest, first.manifestDigest);
    assert.deepEqual((await registry.models.apply(manifest, 'ann')).manifestDigest, first.manifestDigest);
    assert.deepEqual((await registry.models.get('bank')).manifest, manifest);
    assert.deepEqual(
      (await registry.models.list()).map(({ name }) => name),
      ['bank', MODEL],
    );
    await assert.rejects(registry.models.get('nobody'), withCode('MODEL_NOT_FOUND'));
  });

  it('an approval follows the policy: gates and guardrails change its digest, a description does not', () => {
    const digest = policyDigest(manifestOf());
    assert.equal(policyDigest(manifestOf({ description: 'other words' })), digest);
    assert.notEqual(policyDigest(manifestOf({ riskTier: 'high' })), digest);
    assert.notEqual(policyDigest(manifestOf({ guardrails: [] })), digest);
    assert.notEqual(policyDigest(manifestOf({ slo: { latencyMs: 51 } })), digest);
  });

  it('a version is registered once and comes back exactly as it went in', async () => {
    const version = versionOf('v2');
    assert.deepEqual(await twice(() => registry.versions.register(version, 'worker')), version);
    assert.deepEqual(await registry.versions.get(version.digest), version);
    const listed = await registry.versions.list(MODEL);
    assert.deepEqual(
      listed.map(({ number, version: { digest }, revoked }) => [number, digest, revoked]),
      [
        [2, digestOf('v2'), false],
        [1, digestOf('v1'), false],
      ],
    );
    await assert.rejects(
      registry.versions.register({ ...version, model: 'bank' }, 'worker'),
      withCode('DIGEST_CONFLICT'),
    );
    await assert.rejects(
      registry.versions.register(versionOf('v9', 'x/1', 'nobody'), 'worker'),
      withCode('MODEL_NOT_FOUND'),
    );
  });

  it('twenty versions registered at once get twenty numbers', async () => {
    await registry.models.apply(manifestOf({ name: 'busy' }), 'ann');
    const labels = Array.from({ length: 20 }, (_, index) => `busy-${index}`);
    await Promise.all(
      labels.map((label) => registry.versions.register(versionOf(label, 'busy/1', 'busy'), 'worker')),
    );
    const numbers = (await registry.versions.list('busy')).map(({ number }) => number);
    assert.deepEqual(
      numbers,
      Array.from({ length: 20 }, (_, index) => 20 - index),
    );
  });

  it('a version is found by digest, by the beginning of it and by number; an ambiguous name is refused', async () => {
    const digest = digestOf('v1');
    for (const reference of [digest, digest.slice(7, 19), digest.slice(0, 15), `${MODEL}/1`]) {
      assert.equal((await registry.versions.find(reference)).version.digest, digest);
    }
    for (const reference of [digestOf('nobody'), `${MODEL}/99`, 'abc', '%', 'sha256:%%%%%%%%%']) {
      await assert.rejects(registry.versions.find(reference), withCode('VERSION_NOT_FOUND'));
    }
  });

  it('an approval is kept once per person and scope; a changed mind is refused', async () => {
    const approval = approvalOf('v1', 'bob');
    await twice(() => registry.versions.recordApproval(approval));
    await registry.versions.recordApproval({ ...approval, decidedAt: '1997-05-02T00:00:00.000Z' });
    assert.deepEqual(await registry.versions.approvals(approval.subjectDigest), [approval]);
    await assert.rejects(
      registry.versions.recordApproval({ ...approval, decision: 'rejected' }),
      withCode('ALREADY_DECIDED'),
    );
    await assert.rejects(
      registry.versions.recordApproval(approvalOf('nobody', 'bob')),
      withCode('VERSION_NOT_FOUND'),
    );
    await assert.rejects(
      registry.versions.recordApproval({ ...approval, model: 'bank', approver: 'eve' }),
      withCode('INVALID_REQUEST'),
    );
  });

  it('a version without any approval is described so that no gateway can load it', async () => {
    const { approvals, requiredApprovals } = await registry.versions.describe(digestOf('v2'));
    assert.deepEqual([approvals, requiredApprovals], [[], 1]);
  });

  it('the bytes of the champion, rejected in a second release, stay approved for the first', async () => {
    await registry.versions.recordApproval(approvalOf('v2', 'bob'));
    const before = await registry.versions.describe(digestOf('v2'));
    const second = { evidenceDigest: digestOf('evidence of the second release') };
    await registry.versions.recordApproval(approvalOf('v2', 'eve', { ...second, decision: 'rejected' }));
    assert.deepEqual(await registry.versions.describe(digestOf('v2')), before);
    const third = { evidenceDigest: digestOf('evidence of the third release'), requiredApprovals: 2 };
    await registry.versions.recordApproval(approvalOf('v2', 'bob', third));
    assert.deepEqual(
      await registry.versions.describe(digestOf('v2')),
      before,
      'one of two approvals is no quorum',
    );
    await registry.versions.recordApproval(approvalOf('v2', 'eve', third));
    const { evidenceDigest, requiredApprovals, approvals } = await registry.versions.describe(digestOf('v2'));
    assert.deepEqual([evidenceDigest, requiredApprovals, approvals.length], [third.evidenceDigest, 2, 2]);
  });

  it('a revocation is for good and reaches the feed', async () => {
    const subject = digestOf('v2');
    assert.equal(await registry.versions.isRevoked(subject), false);
    await twice(() => registry.versions.revoke({ kind: 'version', subject, reason: 'leak', actor: 'ann' }));
    await twice(() =>
      registry.versions.revoke({ kind: 'key', subject: 'ab12', reason: 'leak', actor: 'ann' }),
    );
    assert.equal(await registry.versions.isRevoked(subject), true);
    assert.deepEqual((await registry.feed.read()).revocations, { digests: [subject], keyIds: ['ab12'] });
    await assert.rejects(
      registry.versions.revoke({
        kind: 'version',
        subject: digestOf('nobody'),
        reason: 'leak',
        actor: 'ann',
      }),
      withCode('VERSION_NOT_FOUND'),
    );
  });

  it('an alias moves by compare-and-set; of ten writers one wins', async () => {
    const alias = { model: MODEL, name: 'stable', actor: 'ann' };
    const first = await twice(() =>
      registry.aliases.set({ ...alias, digest: digestOf('v1'), expectedGeneration: 0 }),
    );
    assert.equal(first.generation, 1);
    await registry.versions.register(versionOf('v3'), 'worker');
    const move = { ...alias, digest: digestOf('v3') };
    await assert.rejects(
      registry.aliases.set({ ...move, expectedGeneration: 0 }),
      withCode('GENERATION_CONFLICT'),
    );
    await assert.rejects(
      registry.aliases.set({ ...move, expectedGeneration: 2 }),
      withCode('GENERATION_CONFLICT'),
    );
    const race = await Promise.all(
      Array.from({ length: 10 }, () => registry.aliases.set({ ...move, expectedGeneration: 1 })),
    );
    assert.deepEqual(
      new Set(race.map(({ generation }) => generation)),
      new Set([2]),
      'a repeated move is a no-op',
    );
    const champion = { ...alias, name: 'champion', digest: digestOf('v1'), expectedGeneration: 0 };
    await assert.rejects(registry.aliases.set(champion), withCode('INVALID_REQUEST'));
  });

  it('a token is found by itself only, and stored nowhere', async () => {
    const token = 'a-token-of-more-than-thirty-two-characters';
    await twice(() => registry.tokens.add(token, { actor: 'ann', role: 'engineer' }));
    assert.deepEqual(await registry.tokens.find(token), { actor: 'ann', role: 'engineer' });
    assert.equal(await registry.tokens.find(`${token}x`), null);
    await assert.rejects(
      registry.tokens.add(token, { actor: 'eve', role: 'admin' }),
      withCode('INVALID_REQUEST'),
    );
    await assert.rejects(
      registry.tokens.add('short', { actor: 'eve', role: 'admin' }),
      withCode('INVALID_REQUEST'),
    );
    const [dump] = await query<{ text: string }>(
      registry,
      'select row_to_json(t)::text as text from api_tokens t',
    );
    assert.ok(!dump!.text.includes(token));
  });

  it('the first result of a training job stands', async () => {
    const files = [{ name: 'model.onnx', digest: digestOf('model'), size: 3 }];
    assert.equal(await registry.training.find(digestOf('job')), null);
    await registry.training.save(digestOf('job'), files);
    await registry.training.save(digestOf('job'), []);
    assert.deepEqual(await registry.training.find(digestOf('job')), files);
  });

  it('text that cannot be stored is a wrong request, not a crash', async () => {
    const version = { kind: 'version', subject: digestOf('v1'), actor: 'ann' } as const;
    await assert.rejects(
      registry.versions.revoke({ ...version, reason: 'nul \u0000' }),
      withCode('INVALID_REQUEST'),
    );
    await assert.rejects(
      registry.versions.revoke({ ...version, reason: 'half \ud800' }),
      withCode('INVALID_REQUEST'),
    );
    assert.equal(await registry.versions.isRevoked(digestOf('v1')), false, 'nothing of it was kept');
  });
});

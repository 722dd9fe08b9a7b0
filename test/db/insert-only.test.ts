import { strict as assert } from 'node:assert';
import { after, before, describe, it } from 'mocha';
import { databaseFailure } from '../../db/failure.ts';
import { SlipwayError } from '../../domain/errors.ts';
import { approvalOf, digestOf, ENVELOPE, MODEL, openRegistry, query } from './registry-fixture.ts';
import type { RegistryFixture } from './registry-fixture.ts';

const INSERT_ONLY: Readonly<Record<string, string>> = {
  model_manifests: `applied_by = 'mallory'`,
  model_versions: `files = '[]'`,
  approvals: `decision = 'rejected'`,
  revocations: `reason = 'none'`,
  training_results: `files = '[]'`,
  release_events: `message = 'all is well'`,
  route_changes: `actor = 'mallory'`,
  guard_trips: `reason = 'none'`,
  audit_log: `actor = 'mallory'`,
  audit_checkpoints: `size = 0`,
};
const NEVER_CHANGED: Readonly<Record<string, string>> = {
  gateway_flushes: 'seq = 9',
  arm_windows: 'errors = 0',
  predictions: 'decision = 1',
  labels: 'label = 1',
  api_tokens: `role = 'admin'`,
};
const NEVER_DELETED = [
  'models',
  'aliases',
  'routes',
  'endpoint_epochs',
  'production_history',
  'releases',
  'audit_heads',
];

describe('records that nobody can rewrite', () => {
  let registry: RegistryFixture;
  const refused = async (statement: string): Promise<void> => {
    await assert.rejects(query(registry, statement), (error: unknown) => {
      const failure = databaseFailure(error);
      assert.ok(failure instanceof SlipwayError);
      assert.equal(failure.code, 'IMMUTABLE', `${statement}: ${failure.internal}`);
      return true;
    });
  };

  before(async () => {
    registry = await openRegistry(['v1', 'v2']);
    await fillEveryTable(registry);
  });
  after(() => registry.close());

  for (const [table, change] of Object.entries(INSERT_ONLY)) {
    it(`${table} refuses update, delete and truncate`, async () => {
      const [counted] = await query<{ rows: number }>(registry, `select count(*)::int as rows from ${table}`);
      assert.ok((counted?.rows ?? 0) > 0, 'the table must hold a row, or nothing is shown');
      await refused(`update ${table} set ${change}`);
      await refused(`delete from ${table}`);
      await refused(`truncate ${table} cascade`);
      assert.deepEqual(await query(registry, `select count(*)::int as rows from ${table}`), [counted]);
    });
  }

  for (const [table, change] of Object.entries(NEVER_CHANGED)) {
    it(`${table} refuses update`, async () => {
      const rows = await query(registry, `select from ${table}`);
      assert.ok(rows.length > 0);
      await refused(`update ${table} set ${change}`);
    });
  }

  for (const table of NEVER_DELETED) {
    it(`${table} refuses delete and truncate`, async () => {
      await refused(`delete from ${table}`);
      await refused(`truncate ${table} cascade`);
    });
  }

  it('a route only goes to its next generation, with an epoch that does not fall', async () => {
    await refused(`update routes set champion = '${digestOf('v2')}'`);
    await refused(`update routes set generation = generation + 2`);
    await refused(`update routes set generation = generation - 1`);
    await refused(`update routes set generation = generation + 1, epoch = epoch - 1`);
    await refused(`update routes set lease_until = lease_until - interval '1 second'`);
    await refused(`update endpoint_epochs set epoch = epoch - 1`);
    await refused(`update aliases set digest = '${digestOf('v2')}'`);
    await refused(`update audit_heads set seq = seq - 1`);
  });

  it('who submitted a release, and what it is bound to, cannot be changed', async () => {
    await refused(`update releases set submitted_by = 'mallory'`);
    await refused(`update releases set parameters = '{"trees": 1}'`);
    await refused(`update releases set manifest_digest = '${digestOf('other')}'`);
    await refused(`update releases set bootstrap = not bootstrap`);
  });

  it('production history: only the open row may be closed, and one champion serves at any instant', async () => {
    await refused(`update production_history set version = '${digestOf('v2')}'`);
    await refused(`update production_history set during = tstzrange('-infinity', null)`);
    const overlapping = `insert into production_history (endpoint, version, generation, during)
      values ('${MODEL}', '${digestOf('v2')}', 99, tstzrange(now(), null))`;
    await assert.rejects(query(registry, overlapping), { code: '23P01' });
    await query(
      registry,
      `update production_history set during = tstzrange(lower(during), clock_timestamp())`,
    );
    await refused(`update production_history set during = tstzrange(lower(during), null)`);
    await refused(
      `update production_history set during = tstzrange(lower(during), lower(during) + interval '1 ms')`,
    );
    await query(registry, overlapping.replace('now()', 'clock_timestamp()'));
  });
});

async function fillEveryTable(registry: RegistryFixture): Promise<void> {
  const { audit, releases, routes, sink, tokens, training, versions } = registry;
  const releaseId = `${MODEL}/1`;
  await releases.open(releaseId);
  await releases.record({ releaseId, key: 'start', phase: 'train', message: 'training' });
  await versions.recordApproval(approvalOf('v1', 'bob'));
  await versions.revoke({ kind: 'key', subject: 'ab', reason: 'leaked', actor: 'ann' });
  await training.save(digestOf('job'), []);
  const change = { endpoint: MODEL, actor: 'ann', reason: 'test' };
  const epoch = await routes.nextEpoch(MODEL);
  await routes.change({ ...change, epoch, key: 'a', change: { kind: 'bootstrap', version: digestOf('v1') } });
  const candidate = { kind: 'prepare', version: digestOf('v2'), salt: 's', leaseMs: 60_000 } as const;
  await routes.change({ ...change, epoch, key: 'b', change: candidate });
  const where = { endpoint: MODEL, generation: 1, version: digestOf('v1') };
  const counts = { requests: 1, errors: 1, slow: 0, invalid: 0, diverged: 0, pairs: 0, latencyMicros: 900 };
  await sink.flush({
    gatewayId: 'g1',
    bootId: 'b1',
    seq: 1,
    windows: [{ ...where, arm: 'champion', startMs: 0, endMs: 1000, ...counts }],
    predictions: [{ ...where, arm: 'champion', predictionId: 'p1', atMs: 500, score: 0.5, decision: 0 }],
  });
  await sink.addLabels([{ predictionId: 'p1', label: 0, observedAtMs: 1 }]);
  await sink.trip({ ...where, gatewayId: 'g1', reason: 'errors', atMs: 1 });
  await tokens.add('t'.repeat(40), { actor: 'ann', role: 'admin' });
  await audit.checkpoint(() => Promise.resolve(ENVELOPE));
}

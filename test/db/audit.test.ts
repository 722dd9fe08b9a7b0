import { strict as assert } from 'node:assert';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { appendAudit } from '../../db/audit.ts';
import { chainRow, verifyChain } from '../../domain/registry/index.ts';
import type { DsseEnvelope, Statement } from '../../domain/registry/index.ts';
import { sha256 } from '../../db/digests.ts';
import { openRegistry, tamper } from './registry-fixture.ts';
import type { RegistryFixture } from './registry-fixture.ts';

const STREAM = 'elec2';
const ROWS = 9;
const at = (seq: number) => `where stream = '${STREAM}' and seq = ${seq}`;
const move = (from: number, to: number) => `update audit_log set seq = ${to} ${at(from)}`;

// Signing belongs to platform/; here an envelope is its own statement, and "forged" is one that was not signed.
const seal = (statement: Statement): Promise<DsseEnvelope> =>
  Promise.resolve({
    payload: Buffer.from(JSON.stringify(statement)).toString('base64'),
    payloadType: 'application/vnd.in-toto+json',
    signatures: [{ sig: 'c2ln', keyid: '' }],
  });
const unseal = ({ payload }: DsseEnvelope): unknown => JSON.parse(Buffer.from(payload, 'base64').toString());

describe('audit log', () => {
  let registry: RegistryFixture;
  const append = (stream: string, subject: string) =>
    registry.db.transaction((tx) =>
      appendAudit(tx, {
        stream,
        actor: 'ann',
        action: 'test',
        subject,
        detail: { text: 'ü "\\', n: 0.1 + 0.2, absent: undefined },
      }),
    );
  const firstBad = async () => {
    const { ok, broken } = await registry.audit.verify(unseal);
    assert.equal(ok, broken.length === 0);
    return broken.map(({ stream, seq, kind }) => [stream, seq, kind]);
  };

  beforeEach(async () => {
    registry = await openRegistry();
    for (let row = 1; row <= ROWS; row += 1) await append(STREAM, `row ${row}`);
    await append('system', 'other');
  });
  afterEach(() => registry.close());

  it('is whole after appends by many connections, and agrees with the check of the domain', async () => {
    await Promise.all(Array.from({ length: 40 }, (_, index) => append(STREAM, `at once ${index}`)));
    const { ok, rows, streams } = await registry.audit.verify();
    assert.deepEqual([ok, rows, streams], [true, ROWS + 41, 2]);
    const newestFirst = await registry.audit.list({ stream: STREAM, limit: 1_000 });
    const checked = verifyChain(newestFirst.toReversed(), sha256);
    assert.ok(checked.ok && checked.size === ROWS + 40);
    const page = await registry.audit.list({ stream: STREAM, limit: 2, before: 4 });
    assert.deepEqual(
      page.map(({ seq }) => seq),
      [3, 2],
    );
  });

  it('a transaction that is rolled back leaves no row', async () => {
    const failed = registry.db.transaction(async (tx) => {
      await appendAudit(tx, { stream: STREAM, actor: 'ann', action: 'test', subject: 'lost', detail: {} });
      throw new Error('no');
    });
    await assert.rejects(failed);
    assert.deepEqual(await firstBad(), []);
  });

  const cases: readonly (readonly [string, readonly string[], readonly [number, string]])[] = [
    ['an altered column', [`update audit_log set actor = 'mallory' ${at(4)}`], [4, 'altered']],
    ['an altered detail', [`update audit_log set detail = detail || '{"n": 1}' ${at(1)}`], [1, 'altered']],
    ['an altered time', [`update audit_log set at = at + interval '1 ms' ${at(9)}`], [9, 'altered']],
    ['an altered hash', [`update audit_log set hash = 'sha256:${'1'.repeat(64)}' ${at(5)}`], [5, 'altered']],
    ['a removed row', [`delete from audit_log ${at(4)}`], [4, 'removed']],
    ['a removed first row', [`delete from audit_log ${at(1)}`], [1, 'removed']],
    ['a removed last row', [`delete from audit_log ${at(9)}`], [9, 'removed']],
    [
      'a removed row with its gap closed',
      [`delete from audit_log ${at(4)}`, move(5, 4), move(6, 5)],
      [4, 'reordered'],
    ],
    ['two neighbours exchanged', [move(3, 99), move(4, 3), move(99, 4)], [3, 'reordered']],
    ['two distant rows exchanged', [move(2, 99), move(8, 2), move(99, 8)], [2, 'reordered']],
    ['a stream removed whole', [`delete from audit_log where stream = '${STREAM}'`], [1, 'removed']],
    ['a head that was removed', [`delete from audit_heads where stream = '${STREAM}'`], [9, 'altered']],
  ];
  for (const [name, statements, [seq, kind]] of cases) {
    it(`names the first bad row: ${name}`, async () => {
      await tamper(registry.url, ...statements);
      assert.deepEqual(await firstBad(), [[STREAM, seq, kind]]);
    });
  }

  it('a row that was rewritten together with its hash is betrayed by the next one, or by the head', async () => {
    const [row] = await registry.audit.list({ stream: STREAM, limit: 1, before: 5 });
    const [before] = await registry.audit.list({ stream: STREAM, limit: 1, before: 4 });
    const forged = chainRow({ ...row!, actor: 'mallory' }, before!, sha256);
    await tamper(registry.url, `update audit_log set actor = 'mallory', hash = '${forged.hash}' ${at(4)}`);
    assert.deepEqual(await firstBad(), [[STREAM, 4, 'altered']]);
    await tamper(registry.url, `delete from audit_log where stream = '${STREAM}' and seq > 4`);
    assert.deepEqual(await firstBad(), [[STREAM, 5, 'removed']]);
    await tamper(registry.url, `update audit_heads set seq = 4 where stream = '${STREAM}'`);
    assert.deepEqual(await firstBad(), [[STREAM, 4, 'altered']]);
  });

  it('a signed checkpoint finds an end that was cut off together with its head', async () => {
    assert.equal(await registry.audit.checkpoint(seal), 2);
    assert.equal(await registry.audit.checkpoint(seal), 0, 'nothing grew since');
    assert.equal((await registry.audit.verify(unseal)).checkpoints, 2);
    const [kept] = await registry.audit.list({ stream: STREAM, limit: 1, before: 7 });
    await tamper(
      registry.url,
      `delete from audit_log where stream = '${STREAM}' and seq > 6`,
      `update audit_heads set seq = 6, hash = '${kept!.hash}' where stream = '${STREAM}'`,
    );
    assert.deepEqual(await firstBad(), [[STREAM, 7, 'removed']]);
    await tamper(
      registry.url,
      `update audit_checkpoints set size = 6, head = '${kept!.hash}' where stream = '${STREAM}'`,
    );
    assert.deepEqual(await firstBad(), [[STREAM, 6, 'altered']], 'the signature is over the old size');
  });

  it('a log of more rows than one batch is checked whole', async function () {
    this.timeout(60_000);
    const rows = 4_500;
    await registry.db.transaction(async (tx) => {
      for (let row = 0; row < rows; row += 1) {
        await appendAudit(tx, {
          stream: 'long',
          actor: 'ann',
          action: 'test',
          subject: String(row),
          detail: {},
        });
      }
    });
    assert.deepEqual((await registry.audit.verify()).rows, ROWS + 1 + rows);
    await tamper(registry.url, `update audit_log set subject = 'x' where stream = 'long' and seq = 4321`);
    assert.deepEqual(await firstBad(), [['long', 4321, 'altered']]);
  });
});

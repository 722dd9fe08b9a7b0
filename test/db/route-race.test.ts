import { strict as assert } from 'node:assert';
import * as fc from 'fast-check';
import { after, before, describe, it } from 'mocha';
import { createRouteRegistry, openDatabase } from '../../db/index.ts';
import type { Database, RouteRegistry } from '../../db/index.ts';
import { SlipwayError } from '../../domain/errors.ts';
import { applyChange } from '../../domain/routing/route.ts';
import type { Route, RouteChange } from '../../domain/routing/route.ts';
import { digestOf, manifestOf, MODEL, openRegistry, query, versionOf } from './registry-fixture.ts';
import type { RegistryFixture } from './registry-fixture.ts';

const WRITERS = 8;
const ROUNDS = 1_250;
/** One round in this many is raced by a rollback. */
const ROLLBACK_EVERY = 25;
const UNTIL = 2_000_000_000_000;

type Attempt =
  { readonly won: true; readonly route: Route; readonly current: boolean } | { readonly won: false };

/** A write that may lose, but only in a way that is documented. */
async function attempt(write: Promise<{ route: Route; current: boolean }>): Promise<Attempt> {
  try {
    return { won: true, ...(await write) };
  } catch (error) {
    assert.ok(error instanceof SlipwayError, String(error));
    assert.ok(['GENERATION_CONFLICT', 'EPOCH_FENCED', 'WRONG_PHASE'].includes(error.code), error.internal);
    return { won: false };
  }
}

describe('racing route writes', () => {
  let registry: RegistryFixture;
  const connections: Database[] = [];
  const writers: RouteRegistry[] = [];

  before(async () => {
    registry = await openRegistry(['v1', 'v2']);
    for (let writer = 0; writer < WRITERS; writer += 1) {
      const db = openDatabase({ databaseUrl: registry.url, applicationName: 'racer', maxConnections: 1 });
      connections.push(db);
      writers.push(createRouteRegistry(db, registry.notifications));
    }
  });
  after(async () => {
    for (const db of connections) await db.close();
    await registry.close();
  });

  /** Each generation was made from the one before it, by the change that is kept with it. */
  async function assertChain(endpoint: string): Promise<number> {
    let previous = null as Route | null;
    for (const { generation, epoch, change, after } of await registry.routes.history(endpoint)) {
      assert.equal(generation, (previous?.generation ?? 0) + 1);
      assert.ok(epoch >= (previous?.epoch ?? 0), 'an epoch that was overtaken wrote');
      assert.deepEqual(after, { endpoint, generation, epoch, ...applyChange(previous, change) });
      previous = after;
    }
    assert.deepEqual(await registry.routes.read(endpoint), previous);
    return previous?.generation ?? 0;
  }

  it(`${WRITERS * ROUNDS} writes from ${WRITERS} connections: one winner per generation, and no rollback is lost`, async function () {
    this.timeout(120_000);
    const write = (
      writer: number,
      epoch: number,
      key: string,
      change: RouteChange,
      expectedGeneration?: number,
    ) =>
      attempt(
        writers[writer]!.change({
          endpoint: MODEL,
          epoch,
          change,
          key,
          actor: `writer-${writer}`,
          reason: 'race',
          ...(expectedGeneration === undefined ? {} : { expectedGeneration }),
        }),
      );
    const prepare = { kind: 'prepare', version: digestOf('v2'), salt: 's', leaseMs: 60_000 } as const;
    let epoch = 1;
    await write(0, epoch, 'bootstrap', { kind: 'bootstrap', version: digestOf('v1') });
    await write(0, epoch, 'prepare', prepare);
    let generation = 2;
    let rollbacks = 0;

    for (let round = 0; round < ROUNDS; round += 1) {
      const rollback = round % ROLLBACK_EVERY === ROLLBACK_EVERY - 1;
      const racing = epoch;
      const racer = round % WRITERS;
      const advance = (writer: number) =>
        write(
          writer,
          racing,
          `${round}/${writer}`,
          { kind: 'canary', version: digestOf('v2'), weightBp: 100 + writer },
          generation,
        );
      const rollBack = () =>
        write(racer, racing + 1, `${round}/rollback`, {
          kind: 'rollback',
          version: digestOf('v1'),
          standbyUntilMs: UNTIL,
        });
      const results = await Promise.all(
        writers.map((_, writer) => (rollback && writer === racer ? rollBack() : advance(writer))),
      );
      const advanced = results.filter((result, writer) => result.won && !(rollback && writer === racer));
      if (!rollback) {
        assert.equal(advanced.length, 1, `generation ${generation + 1} has ${advanced.length} winners`);
        generation += 1;
        continue;
      }
      rollbacks += 1;
      epoch = racing + 1;
      assert.ok(results[racer]!.won, 'a rollback always succeeds');
      assert.ok(advanced.length <= 1);
      generation += 1 + advanced.length;
      const restored = await registry.routes.read(MODEL);
      assert.deepEqual(
        [restored?.candidate, restored?.generation, restored?.epoch],
        [null, generation, epoch],
      );
      // Every advance is sent again, as after an answer that was lost: nothing may change.
      const retried = await Promise.all(
        writers.flatMap((_, writer) => (writer === racer ? [] : [advance(writer)])),
      );
      for (const late of retried) assert.ok(!late.won || !late.current);
      assert.deepEqual(await registry.routes.read(MODEL), restored);
      await write(0, epoch, `${round}/prepare`, prepare, generation);
      generation += 1;
    }
    assert.equal(rollbacks, ROUNDS / ROLLBACK_EVERY);
    assert.equal(await assertChain(MODEL), generation);
    const [rows] = await query<{ rows: number }>(
      registry,
      `select count(*)::int as rows from audit_log where action like 'route.%'`,
    );
    assert.equal(rows?.rows, generation, 'each generation has its audit row, and nothing else has one');
  });

  it('in any interleaving of retried advances and rollbacks, what was rolled back stays so', async function () {
    this.timeout(60_000);
    const step = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({ kind: fc.constant('advance' as const), ahead: fc.nat(4), key: fc.nat(5) }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('rollback' as const), key: fc.nat(1) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('restore' as const), key: fc.nat(1) }) },
    );
    const batches = fc.array(fc.array(step, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 6 });
    let run = 0;
    await fc.assert(
      fc.asyncProperty(batches, async (plan) => {
        run += 1;
        const endpoint = `race-${run}`;
        await declare(endpoint);
        const version = digestOf(`${endpoint}/v2`);
        let rolledBackAt: number | null = null;
        const send = async (kind: (typeof plan)[0][0], writer: number): Promise<void> => {
          const base = {
            endpoint,
            key: `${endpoint}/${kind.kind}/${kind.key}`,
            actor: 'ann',
            reason: 'race',
          };
          if (kind.kind === 'advance') {
            // A rollout that was overtaken may also begin anew, on the very generation that the rollback made.
            const change: RouteChange =
              kind.key % 2 === 0
                ? { kind: 'canary', version, weightBp: 100 * (kind.key + 1) }
                : { kind: 'prepare', version, salt: endpoint, leaseMs: 60_000 };
            const expectedGeneration = 2 + kind.ahead;
            await attempt(writers[writer]!.change({ ...base, epoch: 1, change, expectedGeneration }));
            return;
          }
          const change: RouteChange =
            kind.kind === 'restore'
              ? { kind: 'restore' }
              : { kind: 'rollback', version: digestOf(`${endpoint}/v1`), standbyUntilMs: UNTIL };
          const { route } = await writers[writer]!.change({ ...base, epoch: 2, change });
          rolledBackAt = Math.max(rolledBackAt ?? 0, route.generation);
        };
        for (const batch of plan) {
          await Promise.all(batch.map((one, index) => send(one, index)));
          if (rolledBackAt === null) continue;
          const route = (await registry.routes.read(endpoint))!;
          assert.equal(route.candidate, null, 'an advance overwrote a rollback');
          assert.equal(route.epoch, 2);
        }
        await assertChain(endpoint);
      }),
      { numRuns: 60, endOnFailure: true },
    );
  });

  /** An endpoint with a champion and a prepared candidate: generation 2, epoch 1. */
  async function declare(endpoint: string): Promise<void> {
    await registry.models.apply(manifestOf({ name: endpoint }), 'ann');
    for (const label of ['v1', 'v2']) {
      await registry.versions.register(
        versionOf(`${endpoint}/${label}`, `${endpoint}/1`, endpoint),
        'worker',
      );
    }
    const change = { endpoint, epoch: 1, actor: 'ann', reason: 'race' };
    const [champion, version] = [digestOf(`${endpoint}/v1`), digestOf(`${endpoint}/v2`)];
    await registry.routes.change({
      ...change,
      key: `${endpoint}/1`,
      change: { kind: 'bootstrap', version: champion },
    });
    const prepare = { kind: 'prepare', version, salt: endpoint, leaseMs: 60_000 } as const;
    await registry.routes.change({ ...change, key: `${endpoint}/2`, change: prepare });
  }
});

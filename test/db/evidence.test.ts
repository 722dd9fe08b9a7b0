import { strict as assert } from 'node:assert';
import { afterEach, beforeEach, describe, it } from 'mocha';
import type { Arm, ArmWindow, GatewayFlush, PredictionRow } from '../../domain/rollout/arm-window.ts';
import { digestOf, MODEL, openRegistry, query, withCode } from './registry-fixture.ts';
import type { RegistryFixture } from './registry-fixture.ts';

const HERE = { endpoint: MODEL, generation: 2 };
const NEVER = new AbortController().signal;

function windowOf(arm: Arm, counts: Partial<ArmWindow> = {}): ArmWindow {
  const none = { requests: 0, errors: 0, slow: 0, invalid: 0, diverged: 0, pairs: 0, latencyMicros: 0.5 };
  return { ...HERE, arm, version: digestOf(arm), startMs: 1_000, endMs: 2_000, ...none, ...counts };
}

function predictionOf(predictionId: string, arm: Arm, decision: number | null): PredictionRow {
  const score = decision === null ? null : decision + 0.25;
  return { ...HERE, predictionId, arm, version: digestOf(arm), atMs: 1_500, score, decision };
}

const flushOf = (seq: number, more: Partial<GatewayFlush>): GatewayFlush => ({
  gatewayId: 'g1:8301',
  bootId: 'boot-1',
  seq,
  windows: [],
  predictions: [],
  ...more,
});

describe('evidence', () => {
  let registry: RegistryFixture;
  beforeEach(async () => {
    registry = await openRegistry(['v1']);
  });
  afterEach(() => registry.close());

  it('a flush is stored exactly once, also when it is sent by two connections at once', async () => {
    const windows = [
      windowOf('champion', { requests: 90, errors: 1 }),
      windowOf('canary', { requests: 10, errors: 3 }),
    ];
    const flush = flushOf(0, { windows, predictions: [predictionOf('p1', 'champion', 1)] });
    await Promise.all(Array.from({ length: 5 }, () => registry.sink.flush(flush)));
    await registry.sink.flush(flush);
    const read = await registry.evidence.windows({ ...HERE, after: {} });
    assert.deepEqual([read.champion.requests, read.champion.errors], [90, 1]);
    assert.deepEqual([read.candidate.requests, read.candidate.errors], [10, 3]);
    assert.deepEqual(read.watermark, { 'g1:8301/boot-1': 0 });
    const [rows] = await query<{ n: number }>(registry, 'select count(*)::int as n from predictions');
    assert.equal(rows?.n, 1);
  });

  it('a flush that fails leaves nothing, so that it can be sent again', async () => {
    const bad = { ...predictionOf('p1', 'champion', 1), arm: 'unknown' as Arm };
    const windows = [windowOf('champion', { requests: 5 })];
    await assert.rejects(
      registry.sink.flush(flushOf(0, { windows, predictions: [bad] })),
      withCode('INTERNAL'),
    );
    await registry.sink.flush(flushOf(0, { windows }));
    assert.equal((await registry.evidence.windows({ ...HERE, after: {} })).champion.requests, 5);
  });

  it('every window is read once, over restarts of gateways and several of them', async () => {
    let after: Readonly<Record<string, number>> = {};
    let requests = 0;
    const look = async (): Promise<void> => {
      const read = await registry.evidence.windows({ ...HERE, after });
      after = read.watermark;
      requests += read.candidate.requests;
    };
    let sent = 0;
    for (const [gatewayId, bootId] of [
      ['a', '1'],
      ['a', '2'],
      ['b', '1'],
      ['a/x', '1'],
    ] as const) {
      for (let seq = 0; seq < 5; seq += 1) {
        const windows = [windowOf(seq % 2 === 0 ? 'shadow' : 'canary', { requests: 7 })];
        await registry.sink.flush({ ...flushOf(seq, { windows }), gatewayId, bootId });
        sent += 7;
        if (seq % 2 === 0) await look();
      }
    }
    await look();
    await look();
    assert.equal(requests, sent);
    const other = await registry.evidence.windows({ ...HERE, generation: 3, after: {} });
    assert.equal(other.candidate.requests, 0, 'another generation is another segment');
  });

  it('silence is that of the quietest live gateway, by the clock of the database', async () => {
    const look = async () => (await registry.evidence.windows({ ...HERE, after: {} })).silentMs;
    assert.equal(await look(), null, 'nobody is there and nobody ever was');
    await registry.gateways.acknowledge({ gatewayId: 'quiet', url: 'http://a' }, []);
    await registry.gateways.acknowledge({ gatewayId: 'g1:8301', url: 'http://b' }, []);
    await query(
      registry,
      `update gateways set first_seen = now() - interval '30 s' where gateway_id = 'quiet'`,
    );
    await registry.sink.flush(flushOf(0, { windows: [windowOf('canary')] }));
    const silent = (await look())!;
    assert.ok(silent >= 30_000 && silent < 40_000, String(silent));
    await registry.gateways.leave('quiet');
    assert.ok((await look())! < 5_000);
    await query(registry, `update gateways set last_seen = now() - interval '6 s'`);
    await query(registry, `alter table arm_windows disable trigger all`);
    await query(registry, `update arm_windows set received_at = now() - interval '20 s'`);
    const dead = (await look())!;
    assert.ok(dead >= 20_000, 'without a live gateway the newest window counts');
  });

  it('labels find their predictions, whichever comes first; the first label stands', async () => {
    const predictions = [
      predictionOf('p1', 'champion', 1),
      predictionOf('p1', 'shadow', 0),
      predictionOf('p2', 'champion', 0),
      predictionOf('p3', 'champion', null),
      predictionOf('p4', 'canary', 1),
    ];
    const label = (predictionId: string, value: number) => ({
      predictionId,
      label: value,
      observedAtMs: 5_000,
    });
    assert.deepEqual(await registry.sink.addLabels([label('p4', 0), label('p4', 0), label('never', 1)]), {
      accepted: 0,
      unknown: 2,
      duplicates: 1,
      conflicting: 0,
    });
    await registry.sink.flush(flushOf(0, { predictions }));
    const rows = [label('p1', 1), label('p2', 1), label('p3', 1), label('p4', 1)];
    assert.deepEqual(await registry.sink.addLabels(rows), {
      accepted: 3,
      unknown: 0,
      duplicates: 0,
      conflicting: 1,
    });
    assert.deepEqual(await registry.sink.addLabels(rows), {
      accepted: 0,
      unknown: 0,
      duplicates: 3,
      conflicting: 1,
    });
    assert.deepEqual(await registry.evidence.labels(HERE), {
      // p3 failed and decided nothing; p4's first label says that its canary was wrong.
      champion: { labelled: 2, wrong: 1 },
      candidate: { labelled: 2, wrong: 2 },
    });
    assert.deepEqual(await registry.sink.addLabels([]), {
      accepted: 0,
      unknown: 0,
      duplicates: 0,
      conflicting: 0,
    });
    await assert.rejects(registry.sink.addLabels([label('p9', Number.NaN)]), withCode('INVALID_REQUEST'));
  });

  it('a trip is kept once, audited, and the first one of a version since its rollout began is the one that is told', async () => {
    const trip = {
      ...HERE,
      gatewayId: 'g1',
      version: digestOf('canary'),
      reason: '5 failures in a row',
      atMs: 1_234,
    };
    const { endpoint, generation: since } = HERE;
    const query = { endpoint, since, version: trip.version };
    assert.equal(await registry.evidence.trip(query), null);
    await registry.sink.trip(trip);
    await registry.sink.trip({ ...trip, reason: 'again' });
    await registry.sink.trip({ ...trip, gatewayId: 'g2' });
    assert.deepEqual(await registry.evidence.trip(query), trip);
    assert.deepEqual(await registry.evidence.trip({ ...query, since: since - 1 }), trip);
    assert.equal(await registry.evidence.trip({ ...query, since: since + 1 }), null);
    assert.equal(await registry.evidence.trip({ ...query, version: digestOf('other') }), null);
    const rows = await registry.audit.list({ stream: MODEL, limit: 10 });
    assert.equal(rows.filter(({ action }) => action === 'guard.trip').length, 2);
  });

  it('a wait ends at once when evidence or a trip arrives, and not for another endpoint', async () => {
    const waited = async (work: () => Promise<void>, limitMs: number): Promise<number> => {
      const start = performance.now();
      const wait = registry.evidence.wait(MODEL, limitMs, NEVER);
      await work();
      await wait;
      return performance.now() - start;
    };
    assert.ok(
      (await waited(() => registry.sink.flush(flushOf(0, { windows: [windowOf('canary')] })), 5_000)) < 1_000,
    );
    const elsewhere = { ...windowOf('canary'), endpoint: 'bank' };
    assert.ok((await waited(() => registry.sink.flush(flushOf(1, { windows: [elsewhere] })), 200)) >= 199);
    await registry.sink.flush(flushOf(2, { windows: [windowOf('canary')] }));
    await new Promise((resolve) => setTimeout(resolve, 50));
    const start = performance.now();
    await registry.evidence.wait(MODEL, 5_000, NEVER);
    assert.ok(performance.now() - start < 1_000, 'what arrived between two waits is not lost');
    const stop = new AbortController();
    const wait = registry.evidence.wait(MODEL, 5_000, stop.signal);
    stop.abort(new Error('cancelled'));
    await assert.rejects(wait, /cancelled/);
  });

  it('a flush of 20,000 predictions is one statement', async () => {
    const predictions = Array.from({ length: 20_000 }, (_, index) =>
      predictionOf(`p${index}`, 'champion', index % 2),
    );
    await registry.sink.flush(flushOf(0, { predictions }));
    const labels = predictions.map(({ predictionId }) => ({ predictionId, label: 1, observedAtMs: 1 }));
    assert.equal((await registry.sink.addLabels(labels)).accepted, 20_000);
    assert.deepEqual((await registry.evidence.labels(HERE)).champion, { labelled: 20_000, wrong: 10_000 });
  });
});

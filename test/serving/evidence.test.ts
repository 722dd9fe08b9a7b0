import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { SlipwayError } from '../../domain/errors.ts';
import { GatewayFixture, eventually, request } from './gateway-fixture.ts';

describe('gateway: evidence', () => {
  let fixture: GatewayFixture;

  beforeEach(async () => {
    fixture = await GatewayFixture.create();
  });
  afterEach(() => fixture.remove());

  it('counts every request once, in windows that follow each other, with a prediction row for each input row', async () => {
    const { control } = fixture;
    const { client, champion } = await fixture.startServing();
    const ids: string[] = [];
    for (let i = 0; i < 30; i += 1)
      ids.push((await client.predict([i % 3, 2, 3])).body.parameters.prediction_id);
    const batch = await client.post(
      request([
        [1, 2, 3],
        [4, 5, 6],
      ]),
    );
    const { prediction_id: batchId } = batch.body.parameters;
    await eventually(() => control.sum('champion', 'requests') === 31, 'all are counted');
    await eventually(() => control.predictions.length === 32, 'all rows are stored');
    assert.deepEqual(
      control.predictions.map(({ predictionId }) => predictionId),
      [...ids, `${batchId}/0`, `${batchId}/1`],
    );
    const [row] = control.predictions;
    assert.deepEqual(
      [row?.endpoint, row?.generation, row?.arm, row?.version],
      ['toy', 1, 'champion', champion.digest],
    );
    assert.ok(
      (row?.score ?? -1) > 0 && (row?.score ?? 2) < 1 && (row?.decision === 0 || row?.decision === 1),
    );
    const windows = control.windows;
    for (const [i, window] of windows.entries()) {
      assert.ok(window.endMs >= window.startMs);
      if (i > 0) assert.equal(window.startMs, windows[i - 1]!.endMs);
    }
    const requests = control.sum('champion', 'requests');
    const micros = windows.reduce((sum, window) => sum + window.latencyMicros, 0);
    assert.ok(micros > 0 && micros / requests < 1e6);
  });

  it('sends windows of zero requests for the arms in force, so that silence can be told from no traffic', async () => {
    const { control } = fixture;
    const { champion } = await fixture.startServing();
    const candidate = await fixture.version('shifted');
    const generation = control.route({
      champion,
      candidate: { version: candidate, weightBp: 100, mirrorBp: 100 },
    });
    await eventually(
      () => control.windows.filter((window) => window.generation === generation).length >= 9,
      'windows',
    );
    const arms = new Set(
      control.windows
        .filter((window) => window.generation === generation)
        .map(({ arm, requests }) => `${arm} ${requests}`),
    );
    assert.deepEqual([...arms].sort(), ['canary 0', 'champion 0', 'shadow 0']);
    const next = control.route({ champion });
    const later = () => control.windows.filter((window) => window.generation === next);
    await eventually(() => later().length > 3, 'windows of the next generation');
    const first = control.windows.indexOf(later()[1]!);
    const since = control.windows.slice(first).map((window) => `${window.generation} ${window.arm}`);
    assert.deepEqual([...new Set(since)], [`${next} champion`], 'only arms in force');
  });

  it('counts answers over the latency objective as slow', async () => {
    const { control } = fixture;
    const champion = await fixture.version('linear');
    control.route({ champion, spec: { latencySloMs: 0.0001 } });
    const client = await fixture.start();
    await client.ready();
    for (let i = 0; i < 5; i += 1) await client.predict();
    await eventually(() => control.sum('champion', 'slow') === 5, 'slow');
  });

  it('counts no request that was refused before it reached a model, and none that names its version', async () => {
    const { control } = fixture;
    const { client, champion } = await fixture.startServing();
    await client.post('not json');
    await client.predict([1e6, 0, 0]);
    await client.post(request([[1, 2, 3]]), { version: champion.digest });
    await client.predict();
    await eventually(() => control.sum('champion', 'requests') > 0, 'counted');
    assert.equal(control.sum('champion', 'requests'), 1);
    assert.equal(control.predictions.length, 1);
  });

  it('sends one sequence without gaps, the same flush again until it is stored, and loses nothing meanwhile', async () => {
    const { control } = fixture;
    const { client } = await fixture.startServing();
    const attempts: string[] = [];
    let failing = false;
    control.onFlush = (flush) => {
      attempts.push(JSON.stringify(flush));
      // Lost after it was stored, or before: the gateway cannot know.
      if (failing) throw new Error('connection lost');
    };
    for (let i = 0; i < 10; i += 1) await client.predict();
    failing = true;
    for (let i = 0; i < 10; i += 1) await client.predict();
    const from = attempts.length;
    await eventually(() => attempts.length > from + 3, 'several attempts');
    assert.equal(new Set(attempts.slice(-3)).size, 1, 'the content of a sequence number never changes');
    for (let i = 0; i < 10; i += 1) await client.predict();
    failing = false;
    await eventually(() => control.sum('champion', 'requests') === 30, 'everything is stored');
    await eventually(() => control.predictions.length === 30, 'and every row');
    const seqs = control.flushes.map(({ seq }) => seq);
    assert.deepEqual(
      seqs,
      seqs.map((_, i) => i + 1),
    );
    assert.equal(new Set(control.flushes.map(({ bootId }) => bootId)).size, 1);
  });

  it('drops prediction rows that the sink refuses for good, never the counts', async () => {
    const { control } = fixture;
    let dropped = 0;
    const { NO_METRICS } = await import('../../serving/metrics.ts');
    const metrics = { ...NO_METRICS, predictionsDropped: (count: number) => void (dropped += count) };
    const { client } = await fixture.startServing({ metrics });
    control.onFlush = ({ predictions }) => {
      if (predictions.length > 0) throw new SlipwayError('INVALID_REQUEST', 'a row cannot be stored');
    };
    await client.predict();
    await eventually(() => control.sum('champion', 'requests') === 1, 'the count is stored');
    assert.equal(dropped, 1);
  });

  it('goes on after a flush that the sink refuses for good', async () => {
    const { control } = fixture;
    const { client } = await fixture.startServing();
    let refused = 0;
    control.onFlush = () => {
      refused += 1;
      if (refused === 1) throw new SlipwayError('INVALID_REQUEST', 'a window cannot be stored');
    };
    await eventually(() => refused > 1, 'the next flush comes');
    await client.predict();
    await eventually(() => control.sum('champion', 'requests') === 1, 'evidence arrives');
  });

  it('stores the last moments at a clean stop and takes itself off the list', async () => {
    const { control } = fixture;
    const { client } = await fixture.startServing({ settings: { flushMs: 60_000 } });
    for (let i = 0; i < 7; i += 1) await client.predict();
    assert.equal(control.flushes.length, 0);
    await client.gateway.close();
    assert.equal(control.sum('champion', 'requests'), 7);
    assert.equal(control.predictions.length, 7);
    assert.deepEqual(control.left, ['host:1']);
  });

  it('stops in time when the sink is away', async () => {
    const { client } = await fixture.startServing();
    await client.predict();
    fixture.control.down = true;
    const started = performance.now();
    await client.gateway.close();
    assert.ok(performance.now() - started < 1500);
  });
});

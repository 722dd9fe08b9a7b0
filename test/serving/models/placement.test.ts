import assert from 'node:assert/strict';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { systemClock } from '../../../platform/clock.ts';
import { createModelLoader } from '../../../serving/models/load-model.ts';
import type { LoadedModel, LoaderOptions } from '../../../serving/models/load-model.ts';
import { WorkerSession } from '../../../serving/models/worker-session.ts';
import { GatewayFixture, eventually, linear } from '../gateway-fixture.ts';
import type { ModelName } from '../gateway-fixture.ts';
import { SPEC } from '../control-plane.ts';

describe('model placement', () => {
  let fixture: GatewayFixture;
  const loaded: LoadedModel[] = [];

  beforeEach(async () => {
    fixture = await GatewayFixture.create();
  });
  afterEach(async () => {
    for (const { session } of loaded.splice(0)) await session.retire();
    await fixture.remove();
  });

  async function load(
    model: ModelName,
    isolate: boolean,
    change: Partial<LoaderOptions> = {},
  ): Promise<LoadedModel> {
    const loader = createModelLoader({
      blobRoot: join(fixture.home, 'blobs'),
      trustedKeysFolder: join(fixture.home, 'trusted'),
      limits: { inlineCreateMs: 1000, inlineRunMs: 1000 },
      runTimeoutMs: 1000,
      clock: systemClock,
      ...change,
    });
    const result = await loader({
      descriptor: await fixture.version(model),
      features: SPEC.features,
      revocations: { digests: [], keyIds: [] },
      isolate,
      onLost: () => {},
    });
    loaded.push(result);
    return result;
  }

  it('runs a cheap model on the event loop, a dear or unproven one in a thread, with the same scores', async () => {
    const inline = await load('linear', false);
    const isolated = await load('linear', true);
    const dear = await load('linear', false, { limits: { inlineCreateMs: 0, inlineRunMs: 1000 } });
    const slow = await load('linear', false, { limits: { inlineCreateMs: 1000, inlineRunMs: 0 } });
    assert.deepEqual(
      [inline, isolated, dear, slow].map(({ session, cheap }) => [session.placement, cheap]),
      [
        ['inline', true],
        ['worker', true],
        ['worker', false],
        ['worker', false],
      ],
    );
    const rows = Float32Array.of(1, 2, 3, -4, 0.5, 0);
    const outputs = [];
    for (const { session } of [inline, isolated, dear, slow])
      outputs.push(await session.run(rows.slice(), 2));
    for (const { scores, labels } of outputs) {
      assert.deepEqual(scores, outputs[0]!.scores, 'bit by bit');
      assert.deepEqual(labels, outputs[0]!.labels);
      assert.ok(Math.abs((scores[0] ?? NaN) - linear([1, 2, 3])) < 1e-6);
    }
  });

  for (const isolate of [false, true]) {
    const where = isolate ? 'in a thread' : 'on the event loop';

    it(`ends runs that are under way before it frees a retired model ${where}`, async () => {
      const { session } = await load('linear', isolate);
      const runs = Array.from({ length: 20 }, () => session.run(Float32Array.of(1, 2, 3), 1));
      void session.retire();
      for (const { scores } of await Promise.all(runs)) assert.equal(scores.length, 1);
    });

    it(`fails one run ${where} and not the next`, async () => {
      const { session } = await load('fails-on-some', isolate);
      const failing = session.run(Float32Array.of(10, 0, 0), 1);
      const fine = session.run(Float32Array.of(1, 0, 0), 1);
      await assert.rejects(failing, { code: 'INFERENCE_FAILED' });
      assert.equal((await fine).scores.length, 1);
    });
  }

  it('fails a run in a thread that takes too long: a model that hangs must trip its breaker', async () => {
    const { session } = await load('linear', true, { runTimeoutMs: 0 });
    await assert.rejects(session.run(new Float32Array(3 * 100_000), 100_000), { code: 'INFERENCE_FAILED' });
  });

  it('fails the runs of a thread that dies, says that it is lost, and lives on', async () => {
    const worker = new Worker(
      "require('node:worker_threads').parentPort.on('message', () => process.exit(1))",
      {
        eval: true,
      },
    );
    let lost = 0;
    const session = new WorkerSession(worker, { runTimeoutMs: 5000, onLost: () => void (lost += 1) });
    const runs = [session.run(new Float32Array(3), 1), session.run(new Float32Array(3), 1)];
    for (const run of runs) await assert.rejects(run, { code: 'INFERENCE_FAILED' });
    await eventually(() => lost === 1, 'lost');
    await assert.rejects(session.run(new Float32Array(3), 1), { code: 'INFERENCE_FAILED' });
  });
});

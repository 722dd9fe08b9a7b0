import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { systemClock } from '../../../platform/clock.ts';
import { NO_BATCH_OBSERVER } from '../../../serving/batching/batch-observer.ts';
import { Batcher } from '../../../serving/batching/batcher.ts';
import { CostModel } from '../../../serving/batching/cost-model.ts';
import { createModelLoader } from '../../../serving/models/load-model.ts';
import type { LoadedModel, LoadModel, LoaderOptions } from '../../../serving/models/load-model.ts';
import { WorkerPool } from '../../../serving/models/worker-pool.ts';
import { ModelStatistics } from '../../../serving/statistics.ts';
import { SPEC } from '../control-plane.ts';
import { GatewayFixture, eventually, linear } from '../gateway-fixture.ts';

describe('worker pool', () => {
  let fixture: GatewayFixture;
  let batcher: Batcher | null = null;
  let rssBytes = 0;
  let recycled = 0;
  const problems: unknown[] = [];

  beforeEach(async () => {
    fixture = await GatewayFixture.create();
    rssBytes = 0;
    recycled = 0;
    problems.length = 0;
  });
  afterEach(async () => {
    await batcher?.retire();
    batcher = null;
    await fixture.remove();
  });

  function loader(change: Partial<LoaderOptions> = {}): LoadModel {
    return createModelLoader({
      blobRoot: join(fixture.home, 'blobs'),
      trustedKeysFolder: join(fixture.home, 'trusted'),
      limits: { inlineCreateMs: 1000, inlineRunMs: 1000 },
      runTimeoutMs: 5000,
      clock: systemClock,
      recycle: { afterSwaps: 3, growthBytes: 1000 },
      rssBytes: () => rssBytes,
      ...change,
    });
  }

  async function load(with_: LoadModel): Promise<LoadedModel> {
    return with_({
      descriptor: await fixture.version('linear'),
      features: SPEC.features,
      revocations: { digests: [], keyIds: [] },
      isolate: true,
      onLost: () => {},
      onRecycled: () => void (recycled += 1),
      onProblem: (error) => problems.push(error),
    });
  }

  function serve(
    { session, noiseFloor }: LoadedModel,
    maxBatchRows = 8,
  ): { batcher: Batcher; pool: WorkerPool } {
    assert.ok(session instanceof WorkerPool);
    const [statistics, cost] = [new ModelStatistics(), new CostModel()];
    const observer = NO_BATCH_OBSERVER;
    batcher = new Batcher({
      session,
      maxBatchRows,
      noiseFloor,
      statistics,
      cost,
      clock: systemClock,
      observer,
    });
    return { batcher, pool: session };
  }

  /** Keeps eight requests under way until told to stop; returns how many were answered, each one rightly. */
  function callers(to: Batcher): () => Promise<number> {
    const stopping = new AbortController();
    let answered = 0;
    const call = async (): Promise<void> => {
      for (let i = 0; !stopping.signal.aborted; i += 1) {
        const { scores } = await to.run(Float32Array.of(i % 7, 2, 3), 1);
        assert.ok(Math.abs(scores[0]! - linear([i % 7, 2, 3])) < 1e-6);
        answered += 1;
      }
    };
    const all = Promise.all(Array.from({ length: 8 }, call));
    return async () => {
      stopping.abort();
      await all;
      return answered;
    };
  }

  it('replaces a thread after the memory of the process has grown, without a failed request, and once', async () => {
    const { batcher: serving, pool } = serve(await load(loader()));
    const stop = callers(serving);
    pool.maintain();
    assert.equal(recycled, 0);
    rssBytes = 1000;
    pool.maintain();
    pool.maintain();
    await eventually(() => recycled === 1, 'replaced');
    // Memory that the replacement did not give back must not cause the next one.
    for (let i = 0; i < 5; i += 1) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      pool.maintain();
    }
    assert.ok((await stop()) > 100);
    assert.deepEqual([recycled, problems, pool.concurrency], [1, [], 1]);
  });

  it('replaces a thread after enough other versions were loaded into the process', async () => {
    const with_ = loader();
    const { batcher: serving, pool } = serve(await load(with_));
    const stop = callers(serving);
    for (let swap = 0; swap < 3; swap += 1) {
      pool.maintain();
      assert.equal(recycled, 0);
      await (await load(with_)).session.retire();
    }
    pool.maintain();
    await eventually(() => recycled === 1, 'replaced');
    pool.maintain();
    assert.ok((await stop()) > 0);
    assert.deepEqual([recycled, problems], [1, []]);
  });

  it('grows while requests wait for a free thread, up to its limit, and answers rightly all the while', async () => {
    const { batcher: serving, pool } = serve(await load(loader({ maxWorkers: 2 })), 2);
    assert.equal(pool.concurrency, 1);
    const stop = callers(serving);
    await eventually(() => pool.concurrency === 2, 'a second thread').catch(async (error: unknown) => {
      await stop();
      throw error;
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.ok((await stop()) > 100);
    assert.equal(pool.concurrency, 2);
  });

  it('keeps its thread when a fresh one cannot be started', async () => {
    const { batcher: serving, pool } = serve(await load(loader()));
    rssBytes = 5000;
    await rm(join(fixture.home, 'trusted', 'key.pem'));
    pool.maintain();
    await eventually(() => problems.length === 1, 'said so');
    assert.equal((await serving.run(Float32Array.of(1, 2, 3), 1)).scores.length, 1);
    assert.deepEqual([recycled, pool.concurrency], [0, 1]);
  });

  it('sends views of larger arrays to a thread without taking the rest away', async () => {
    const { batcher: serving } = serve(await load(loader()));
    const body = Float32Array.of(9, 1, 2, 3, 9);
    await serving.run(body.subarray(1, 4), 1);
    assert.deepEqual([...body], [9, 1, 2, 3, 9]);
  });
});

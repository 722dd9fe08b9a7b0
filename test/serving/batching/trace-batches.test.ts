import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { systemClock } from '../../../platform/clock.ts';
import { NO_BATCH_OBSERVER } from '../../../serving/batching/batch-observer.ts';
import { Batcher } from '../../../serving/batching/batcher.ts';
import { CostModel } from '../../../serving/batching/cost-model.ts';
import { RunTicket } from '../../../serving/batching/run-ticket.ts';
import { traceBatches } from '../../../serving/batching/trace-batches.ts';
import { ModelStatistics } from '../../../serving/statistics.ts';
import { NO_SPAN, NO_TRACER } from '../../../serving/tracing.ts';
import type { InferenceSpan } from '../../../serving/tracing.ts';
import { FakeSession } from './fake-session.ts';

describe('traced batches', () => {
  interface Traced {
    readonly requests: readonly InferenceSpan[];
    readonly rows: number;
    failed?: boolean;
  }

  /** Runs one request for each value in one batch; those below zero fail, odd ones are recorded. */
  async function run(values: readonly number[]): Promise<{ batches: Traced[]; parents: unknown[] }> {
    const batches: Traced[] = [];
    const parents: unknown[] = [];
    class WatchedSession extends FakeSession {
      override run(
        features: Float32Array,
        rows: number,
        traceparent?: string,
      ): ReturnType<FakeSession['run']> {
        parents.push(traceparent);
        return super.run(features, rows);
      }
    }
    const tracer = {
      ...NO_TRACER,
      batch: (requests: readonly InferenceSpan[], endpoint: string, version: string, rows: number) => {
        assert.deepEqual([endpoint, version], ['toy', 'sha256:1']);
        const batch: Traced = { requests, rows };
        const index = batches.push(batch);
        const end = (failed: boolean): void => {
          assert.equal(batch.failed, undefined, 'ended twice');
          batch.failed = failed;
        };
        return { traceparent: `batch ${index}`, end };
      },
    };
    const batcher = new Batcher({
      session: new WatchedSession({ auto: true }),
      maxBatchRows: 8,
      noiseFloor: 0,
      statistics: new ModelStatistics(),
      cost: new CostModel(),
      clock: systemClock,
      observer: traceBatches(NO_BATCH_OBSERVER, tracer, 'toy', 'sha256:1'),
    });
    await Promise.allSettled(
      values.map((value) => {
        const ticket = new RunTicket();
        if (value % 2 !== 0) ticket.span = { ...NO_SPAN, recording: true };
        return batcher.run(Float32Array.of(value), 1, ticket);
      }),
    );
    await batcher.retire();
    return { batches, parents };
  }

  it('begin no span when none of their requests is recorded', async () => {
    assert.deepEqual(await run([2, 4, 6]), { batches: [], parents: [undefined] });
  });

  it('have one span for all recorded requests, and the model gets its context', async () => {
    const { batches, parents } = await run([1, 2, 3]);
    assert.deepEqual(
      batches.map(({ requests, rows, failed }) => [requests.length, rows, failed]),
      [[2, 3, false]],
    );
    assert.deepEqual(parents, ['batch 1']);
  });

  it('end their span as failed, and each request that is run again has one of its own', async () => {
    const { batches, parents } = await run([1, 2, -1]);
    assert.deepEqual(
      batches.map(({ requests, rows, failed }) => [requests.length, rows, failed]),
      [
        [2, 3, true],
        [1, 1, false],
        [1, 1, true],
      ],
    );
    assert.deepEqual(parents, ['batch 1', 'batch 2', undefined, 'batch 3']);
  });
});

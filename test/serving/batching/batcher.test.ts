import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';
import { systemClock } from '../../../platform/clock.ts';
import type { BatchObserver, DispatchReason } from '../../../serving/batching/batch-observer.ts';
import { Batcher } from '../../../serving/batching/batcher.ts';
import { CostModel } from '../../../serving/batching/cost-model.ts';
import { deadlineWheel } from '../../../serving/batching/deadline-wheel.ts';
import { RunTicket } from '../../../serving/batching/run-ticket.ts';
import type { ModelOutput } from '../../../serving/models/model-session.ts';
import { executorFailed } from '../../../serving/models/run-failure.ts';
import { ModelStatistics } from '../../../serving/statistics.ts';
import { FakeSession, turn } from './fake-session.ts';

interface Parts {
  readonly batcher: Batcher;
  readonly reasons: DispatchReason[];
  readonly dropped: string[];
  readonly isolated: number[][];
}

function parts(session: FakeSession, maxBatchRows = 8, cost = new CostModel()): Parts {
  const reasons: DispatchReason[] = [];
  const dropped: string[] = [];
  const isolated: number[][] = [];
  const observer: BatchObserver = {
    dispatched: (reason) => reasons.push(reason),
    dropped: (why) => dropped.push(why),
    isolated: (...counts) => isolated.push(counts),
  };
  const statistics = new ModelStatistics();
  const batcher = new Batcher({
    session,
    maxBatchRows,
    noiseFloor: 0,
    statistics,
    cost,
    clock: systemClock,
    observer,
  });
  return { batcher, reasons, dropped, isolated };
}

const one = (batcher: Batcher, value: number, ticket?: RunTicket): Promise<ModelOutput> =>
  batcher.run(Float32Array.of(value), 1, ticket);

/** A ticket that has this many milliseconds left. */
const within = (ms: number): RunTicket => new RunTicket(performance.now() + ms);

describe('batcher', () => {
  it('gives each request the scores of its own rows in their order, however requests arrive and batches form', async () => {
    const request = fc.record({
      rows: fc.integer({ min: 1, max: 20 }),
      turns: fc.integer({ min: 0, max: 2 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(request, { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 3 }),
        async (requests, maxBatchRows, concurrency) => {
          const session = new FakeSession({ auto: true, concurrency });
          const { batcher } = parts(session, maxBatchRows);
          const answers: Promise<void>[] = [];
          let next = 0;
          for (const { rows, turns } of requests) {
            const values = Float32Array.from({ length: rows }, () => (next += 1) % 97);
            const expected = [...values];
            answers.push(
              batcher.run(values, rows).then(({ scores, labels }) => {
                assert.deepEqual([...labels].map(Number), expected);
                assert.deepEqual(
                  scores,
                  Float32Array.from(expected, (x) => Math.fround(x) / 100),
                );
              }),
            );
            for (let i = 0; i < turns; i += 1) await turn();
          }
          await Promise.all(answers);
          assert.equal(batcher.waitingRows, 0);
          assert.equal(batcher.waitingRequests, 0);
          for (const { rows } of session.runs) assert.ok(rows <= maxBatchRows);
          const total = requests.reduce((sum, { rows }) => sum + rows, 0);
          assert.equal(batcher.statistics.inferenceCount, total);
          assert.equal(batcher.statistics.executionCount, session.runs.length);
          assert.equal(batcher.statistics.queue.count, requests.length);
        },
      ),
      { numRuns: 150 },
    );
  });

  it('takes all requests of one turn of the event loop into one batch, and views of its output out of it', async () => {
    const session = new FakeSession({ auto: true });
    const { batcher, reasons } = parts(session, 64);
    const outputs = await Promise.all(Array.from({ length: 50 }, (_, i) => one(batcher, i)));
    assert.deepEqual(
      session.runs.map(({ rows }) => rows),
      [50],
    );
    assert.equal(new Set(outputs.map(({ scores }) => scores.buffer)).size, 1, 'no copies');
    await one(batcher, 1);
    assert.deepEqual(reasons, ['drained', 'idle']);
  });

  it('keeps the order of arrival and never has more than one batch under way in a session that takes one', async () => {
    const session = new FakeSession();
    const { batcher, reasons } = parts(session, 4);
    const order: number[] = [];
    const all = Array.from({ length: 10 }, (_, i) => one(batcher, i).then(() => order.push(i)));
    const sizes: number[] = [];
    for (let run = 0; run < 3; run += 1) {
      await turn();
      await turn();
      assert.equal(session.runs.length, run + 1);
      sizes.push(session.runs[run]!.rows);
      session.runs[run]!.end();
    }
    await Promise.all(all);
    assert.deepEqual(sizes, [4, 4, 2]);
    assert.deepEqual(order, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert.deepEqual(reasons, ['full', 'full', 'drained']);
    assert.ok(session.demands > 0, 'a pool is told that requests wait');
  });

  it('lets nobody overtake a larger request that does not fit', async () => {
    const session = new FakeSession();
    const { batcher } = parts(session, 8);
    const order: string[] = [];
    const small = batcher.run(new Float32Array(5), 5).then(() => order.push('small'));
    const large = batcher.run(new Float32Array(6), 6).then(() => order.push('large'));
    const later = batcher.run(new Float32Array(1), 1).then(() => order.push('later'));
    for (let run = 0; run < 2; run += 1) {
      await turn();
      await turn();
      session.runs[run]!.end();
    }
    await Promise.all([small, large, later]);
    assert.deepEqual(
      session.runs.map(({ rows }) => rows),
      [5, 7],
    );
    assert.deepEqual(order, ['small', 'large', 'later']);
  });

  it('caps a batch by what its cost says fits the slice, and runs a larger request alone', async () => {
    const cost = new CostModel();
    // 2 ms for each row and 4 for each run: 8 rows last 20 ms, the slice of a thread.
    for (let rows = 1; rows <= 16; rows += 1) cost.add(rows, 2 * rows + 4);
    const session = new FakeSession({ auto: true });
    const { batcher, reasons } = parts(session, 64, cost);
    assert.equal(batcher.capRows, 8);
    await Promise.all([
      ...Array.from({ length: 20 }, (_, i) => one(batcher, i)),
      batcher.run(new Float32Array(30), 30),
      one(batcher, 1),
    ]);
    assert.deepEqual(
      session.runs.map(({ rows }) => rows),
      [8, 8, 4, 30, 1],
    );
    assert.deepEqual(reasons, ['slice', 'slice', 'slice', 'slice', 'drained']);
  });

  it('gives the rows of a batch as much time as its run needs anyway, when that alone is longer than the slice', () => {
    const cost = new CostModel();
    for (let rows = 1; rows <= 16; rows += 1) cost.add(rows, rows + 100);
    assert.equal(parts(new FakeSession(), 640, cost).batcher.capRows, 100);
  });

  it('fails only the requests that the model fails on, not those beside them', async () => {
    const session = new FakeSession({ auto: true });
    const { batcher, isolated } = parts(session, 16);
    const answers = await Promise.allSettled([5, -1, 7, 8, -1, 9].map((value) => one(batcher, value)));
    assert.deepEqual(
      answers.map((answer) =>
        answer.status === 'fulfilled' ? Number(answer.value.labels[0]) : answer.reason.code,
      ),
      [5, 'INFERENCE_FAILED', 7, 8, 'INFERENCE_FAILED', 9],
    );
    assert.deepEqual(isolated, [[6, 2]]);
    assert.equal(session.runs.length, 7, 'the batch, then each one once');
  });

  it('fails a batch whose thread was lost or too slow as a whole: again for each request would take as long each', async () => {
    const session = new FakeSession();
    const { batcher } = parts(session);
    const answers = [one(batcher, 1), one(batcher, 2)];
    await turn();
    session.runs[0]!.fail(executorFailed('too long'));
    for (const answer of answers) await assert.rejects(answer, { code: 'INFERENCE_FAILED' });
    assert.equal(session.runs.length, 1);
  });

  it('never gives rows of one request to another when the model returns the wrong number of them', async () => {
    class Short extends FakeSession {
      override async run(features: Float32Array, rows: number): ReturnType<FakeSession['run']> {
        const output = await super.run(features, rows);
        return rows === 1 ? output : { ...output, scores: output.scores.subarray(1) };
      }
    }
    const { batcher } = parts(new Short({ auto: true }));
    const outputs = await Promise.all([1, 2, 3].map((value) => one(batcher, value)));
    assert.deepEqual(
      outputs.map(({ labels }) => Number(labels[0])),
      [1, 2, 3],
    );
  });

  it('answers a request within milliseconds of its deadline although the model is busy, and never runs it', async () => {
    const session = new FakeSession();
    const { batcher, dropped } = parts(session);
    const busy = one(batcher, 1);
    await turn();
    const late: number[] = [];
    const waits = [10, 15, 40, 22, 15].map(async (ms) => {
      const ticket = within(ms);
      await assert.rejects(one(batcher, 2, ticket), { code: 'DEADLINE_EXCEEDED' });
      late.push(performance.now() - ticket.deadlineMs);
      assert.equal(ticket.batchRows, 0, 'no model has had it');
    });
    await Promise.all(waits);
    for (const ms of late) assert.ok(ms > -1.5 && ms < 30, `${ms} ms after the deadline`);
    assert.deepEqual(dropped, ['expired', 'expired', 'expired', 'expired', 'expired']);
    assert.equal(batcher.waitingRequests, 0);
    session.runs[0]!.end();
    await busy;
    assert.equal(session.runs.length, 1);
  });

  it('answers a request that is running in a thread at its deadline too, and drops the result', async () => {
    const session = new FakeSession();
    const { batcher } = parts(session);
    const ticket = within(10);
    const [hung, patient] = [one(batcher, 1, ticket), one(batcher, 2)];
    await assert.rejects(hung, { code: 'DEADLINE_EXCEEDED' });
    assert.equal(ticket.batchRows, 2, 'the model had it');
    session.runs[0]!.end();
    assert.equal(Number((await patient).labels[0]), 2);
  });

  it('keeps what has expired or was cancelled out of the batch', async () => {
    const session = new FakeSession();
    const { batcher, dropped } = parts(session);
    const busy = one(batcher, 1);
    await turn();
    const cancelled = new RunTicket();
    const expired = within(1);
    const rejections = [
      assert.rejects(one(batcher, 2, cancelled), { code: 'CALLER_GONE' }),
      assert.rejects(one(batcher, 3, expired), { code: 'DEADLINE_EXCEEDED' }),
      assert.rejects(one(batcher, 4, within(-1)), { code: 'DEADLINE_EXCEEDED' }),
    ];
    const alive = one(batcher, 5);
    assert.equal(batcher.waitingRows, 3);
    cancelled.cancel();
    cancelled.cancel();
    assert.equal(batcher.waitingRows, 2);
    // The event loop is held up past the deadline: the timer cannot have fired, the batcher looks by itself.
    const end = performance.now() + 5;
    while (performance.now() < end);
    session.runs[0]!.end();
    await busy;
    await Promise.all(rejections);
    session.runs[1]!.end();
    assert.equal(Number((await alive).labels[0]), 5);
    assert.deepEqual([...session.runs[1]!.features], [5]);
    assert.deepEqual(dropped.toSorted(), ['cancelled', 'expired', 'expired']);
  });

  it('lets a running request be cancelled without harm to those beside it', async () => {
    const session = new FakeSession();
    const { batcher } = parts(session);
    const ticket = new RunTicket();
    const gone = assert.rejects(one(batcher, 1, ticket), { code: 'CALLER_GONE' });
    const other = one(batcher, 2);
    await turn();
    ticket.cancel();
    await gone;
    session.runs[0]!.end();
    assert.equal(Number((await other).labels[0]), 2);
  });

  it('leaves nothing behind in the deadline wheel, and expires in any order of deadlines', async () => {
    const wheel = deadlineWheel(systemClock);
    const before = wheel.size;
    const session = new FakeSession();
    const { batcher } = parts(session);
    const busy = one(batcher, 0);
    await turn();
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 25 }), { minLength: 1, maxLength: 60 }),
        async (waits) => {
          const order: number[] = [];
          await Promise.all(
            waits.map(async (ms) => {
              const ticket = within(ms);
              await assert.rejects(one(batcher, 1, ticket));
              order.push(ticket.deadlineMs);
              const lateMs = performance.now() - ticket.deadlineMs;
              assert.ok(lateMs > -1.5 && lateMs < 40, `${lateMs} ms late`);
            }),
          );
          assert.equal(wheel.size, before);
        },
      ),
      { numRuns: 8 },
    );
    session.runs[0]!.end();
    await busy;
    await Promise.all(
      Array.from({ length: 5 }, (_, i) => one(batcher, i, within(10_000)).catch(() => null)).map(
        async (answer) => {
          await turn();
          session.runs.at(-1)!.end();
          await answer;
        },
      ),
    );
    assert.equal(wheel.size, before, 'answered requests have left it');
  });

  it('moves to another session without losing a request, and frees the former one after its last run', async () => {
    const [first, second] = [new FakeSession(), new FakeSession({ auto: true })];
    const { batcher } = parts(first, 2);
    const answers = Array.from({ length: 6 }, (_, i) => one(batcher, i));
    await turn();
    batcher.replace(second);
    assert.equal(first.retired, 0, 'a batch is under way in it');
    await Promise.all(answers.slice(2));
    first.runs[0]!.end();
    const labels = (await Promise.all(answers)).map(({ labels: [label] }) => Number(label));
    assert.deepEqual(labels, [0, 1, 2, 3, 4, 5]);
    await turn();
    assert.deepEqual([first.runs.length, first.retired, second.retired], [1, 1, 0]);
  });

  it('answers what waits before it is gone, and refuses what comes later', async () => {
    const session = new FakeSession({ auto: true });
    const { batcher } = parts(session, 2);
    const answers = Array.from({ length: 5 }, (_, i) => one(batcher, i));
    const retired = batcher.retire();
    assert.equal((await Promise.all(answers)).length, 5);
    await retired;
    assert.equal(session.retired, 1);
    await assert.rejects(one(batcher, 1), { code: 'MODEL_NOT_READY' });
  });

  it('predicts the wait from what is under way, what waits and what comes', async () => {
    const cost = new CostModel();
    for (let rows = 1; rows <= 16; rows += 1) cost.add(rows, 1 * rows + 4);
    const session = new FakeSession();
    const { batcher } = parts(session, 8, cost);
    assert.ok(Math.abs(batcher.predictMs(8) - 12) < 0.1, 'idle: one run of eight rows');
    const answers = [batcher.run(new Float32Array(8), 8)];
    await turn();
    answers.push(batcher.run(new Float32Array(8), 8));
    const predicted = batcher.predictMs(1);
    // The rest of 12 ms, then two runs with nine rows together.
    assert.ok(predicted > 12 && predicted < 12 + 17.1, String(predicted));
    session.runs[0]!.end(12);
    await answers[0];
    session.runs[1]!.end(12);
    await Promise.all(answers);
  });
});

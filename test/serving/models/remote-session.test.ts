import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { SlipwayError } from '../../../domain/errors.ts';
import type { GoldenRows } from '../../../serving/models/golden-rows.ts';
import { DEFAULT_REMOTE_SETTINGS, loadRemote, remoteModelName } from '../../../serving/models/load-remote.ts';
import type { RemoteSettings } from '../../../serving/models/load-remote.ts';
import type { ModelSession } from '../../../serving/models/model-session.ts';
import { isInputFailure } from '../../../serving/models/run-failure.ts';
import { eventually, linear } from '../gateway-fixture.ts';
import { RemoteStub } from './remote-stub.ts';
import type { StubCall } from './remote-stub.ts';

const DIGEST = `sha256:0123456789ab${'c'.repeat(52)}`;
const ROWS = Array.from({ length: 20 }, (_, i) => [i / 10 - 1, (i % 7) / 3, (i % 3) - 1]);
const SCORES = ROWS.map((row) => linear(row));
const GOLDEN: GoldenRows = {
  features: Float32Array.from(ROWS.flat()),
  labels: BigInt64Array.from(SCORES, (score) => (score >= 0.5 ? 1n : 0n)),
  scores: Float32Array.from(SCORES),
};
const RUN_TIMEOUT_MS = 150;

async function failure(promise: Promise<unknown>): Promise<SlipwayError> {
  const error = await promise.then(
    () => assert.fail('it should have failed'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof SlipwayError, String(error));
  return error;
}

describe('remote session', () => {
  let stub: RemoteStub;
  let session: ModelSession | null = null;
  let lost: string[] = [];

  beforeEach(async () => {
    stub = await RemoteStub.start();
    lost = [];
  });
  afterEach(async () => {
    await session?.retire();
    session = null;
    await stub.close();
  });

  async function load(settings: Partial<RemoteSettings> = {}, maxBatchRows = 64): Promise<ModelSession> {
    await session?.retire();
    const loaded = await loadRemote({
      backend: { kind: 'remote', url: `${stub.url}/`, model: 'toy-{version}' },
      digest: DIGEST,
      golden: GOLDEN,
      maxBatchRows,
      runTimeoutMs: RUN_TIMEOUT_MS,
      settings: { ...DEFAULT_REMOTE_SETTINGS, readyWithinMs: 0, ...settings },
      onLost: (reason) => lost.push(reason),
    });
    session = loaded.session;
    stub.calls.length = 0;
    return session;
  }

  const one = (): Float32Array => Float32Array.from([1, 2, 3]);
  const scoreOf = async (running: ModelSession): Promise<number> => (await running.run(one(), 1)).scores[0]!;

  it('names the model by the version, so that champion and candidate are two models there', () => {
    const backend = { kind: 'remote', url: '', model: '{version}-toy-{version}' } as const;
    assert.equal(remoteModelName(backend, DIGEST), '0123456789ab-toy-0123456789ab');
  });

  for (const binary of [true, false]) {
    it(`runs batches ${binary ? 'as binary tensors' : 'as JSON where the server lists no binary tensors'}`, async () => {
      if (!binary) stub.extensions = [];
      const running = await load();
      const { labels, scores, runMs } = await running.run(Float32Array.from([1, 2, 3, -0.1, 0.2, 1e-7]), 2);
      assert.deepEqual(
        [...labels],
        [1n, 0n].map((_, i) =>
          linear(
            [
              [1, 2, 3],
              [-0.1, 0.2, 1e-7],
            ][i]!,
          ) >= 0.5
            ? 1n
            : 0n,
        ),
      );
      for (const [i, row] of [
        [1, 2, 3],
        [-0.1, 0.2, 1e-7],
      ].entries())
        assert.ok(Math.abs(scores[i]! - linear(row)) < 1e-6);
      assert.ok(runMs > 0);
      const [call] = stub.calls;
      assert.deepEqual([call?.binary, call?.model], [binary, 'toy-0123456789ab']);
      // The float32 that was meant, not its neighbour.
      assert.deepEqual(call?.rows[1]?.map(Math.fround), [-0.1, 0.2, 1e-7].map(Math.fround));
    });
  }

  it('keeps its connections, and says how many batches it takes at once', async () => {
    const running = await load({ concurrency: 3 });
    const before = stub.connections;
    assert.equal(running.concurrency, 3);
    for (let i = 0; i < 20; i += 1) await scoreOf(running);
    assert.equal(stub.connections, before);
  });

  it('takes labels of another integer type, and shapes [n, 1]', async () => {
    const running = await load();
    stub.onInfer = (call) => (stub.sendBinary(call, { labels: 'INT32' }), true);
    assert.deepEqual([...(await running.run(one(), 1)).labels], [1n]);
    const shape = [1, 1];
    stub.onInfer = (call) => {
      stub.sendJson(
        call.response,
        stub.json(call, { label: { shape, datatype: 'UINT8' }, score: { shape } }),
      );
      return true;
    };
    assert.deepEqual([...(await running.run(one(), 1)).labels], [1n]);
  });

  it('hands a score that is no number on as it is, for whoever counts invalid scores', async () => {
    const running = await load();
    stub.onInfer = (call) => (stub.sendBinary(call, { scores: [NaN] }), true);
    assert.ok(Number.isNaN(await scoreOf(running)));
  });

  const answers: [string, (call: StubCall) => unknown, RegExp][] = [
    [
      'too few scores',
      (call) => stub.json(call, { score: { shape: [2], data: [0.5, 0.5] } }),
      /score\.shape is \[2\] for 1 rows/,
    ],
    [
      'a length that is not its shape',
      (call) => stub.json(call, { score: { data: [] } }),
      /score\.data has 0 values/,
    ],
    ['no label', (call) => stub.json(call, { label: { name: 'class' } }), /label is missing/],
    [
      'two scores',
      (call) => stub.json(call, { label: { name: 'score', datatype: 'FP32' } }),
      /score is there twice/,
    ],
    ['doubles', (call) => stub.json(call, { score: { datatype: 'FP64' } }), /score\.datatype must be FP32/],
    [
      'a label that is no integer',
      (call) => stub.json(call, { label: { datatype: 'FP32' } }),
      /label\.datatype/,
    ],
    ['text for numbers', (call) => stub.json(call, { score: { data: ['0.5'] } }), /must be a number/],
    ['outputs that are none', (call) => stub.json(call, { outputs: 7 }), /outputs must be an array/],
    [
      'bytes that are not there',
      (call) => stub.json(call, { score: { parameters: { binary_data_size: 4 } } }),
      /ends before outputs\[1\]/,
    ],
    [
      'a size below zero',
      (call) => stub.json(call, { score: { parameters: { binary_data_size: -4 } } }),
      /binary_data_size/,
    ],
    ['no JSON', () => '<html>', /JSON/],
    ['another thing', () => '[1]', /not an object/],
  ];
  for (const [what, answer, message] of answers) {
    it(`refuses ${what} as an answer, and does not try the requests of the batch again`, async () => {
      const running = await load();
      stub.onInfer = (call) => (stub.sendJson(call.response, answer(call)), true);
      const error = await failure(running.run(one(), 1));
      assert.equal(error.code, 'INFERENCE_FAILED');
      assert.match(error.internal ?? '', message);
      assert.equal(isInputFailure(error), false);
      assert.equal(stub.calls.length, 1);
    });
  }

  const statuses: [number, 'INFERENCE_FAILED' | 'REMOTE_UNAVAILABLE', boolean][] = [
    [400, 'INFERENCE_FAILED', true],
    [500, 'INFERENCE_FAILED', true],
    [404, 'INFERENCE_FAILED', false],
    [429, 'REMOTE_UNAVAILABLE', false],
    [503, 'REMOTE_UNAVAILABLE', false],
    [504, 'REMOTE_UNAVAILABLE', false],
  ];
  for (const [status, code, isInput] of statuses) {
    it(`takes ${status} for ${code}, once`, async () => {
      const running = await load();
      stub.onInfer = ({ response }) => (stub.sendJson(response, { error: 'because' }, status), true);
      const error = await failure(running.run(one(), 1));
      assert.deepEqual([error.code, isInputFailure(error)], [code, isInput]);
      assert.match(error.internal ?? '', new RegExp(`${status}.*because`));
      assert.equal(stub.calls.length, 1);
    });
  }

  const absences: [string, (call: StubCall) => void, RegExp][] = [
    ['hangs', () => {}, /no answer within 150 ms/],
    [
      'hangs in the middle of its answer',
      ({ response }) => void response.write('{'),
      /no answer within 150 ms/,
    ],
    [
      'closes in the middle of its answer',
      ({ response }) => {
        response.writeHead(200, { 'content-length': '100' });
        response.write('{', () => response.destroy());
      },
      /aborted|terminated|ECONNRESET/,
    ],
    ['does not end', ({ response }) => void response.write('x'.repeat(1_000_000)), /longer than \d+ bytes/],
  ];
  for (const [what, misbehave, message] of absences) {
    it(`calls a server unavailable that ${what}, once and in time`, async () => {
      const running = await load();
      stub.onInfer = (call) => (misbehave(call), true);
      const started = performance.now();
      const error = await failure(running.run(one(), 1));
      assert.equal(error.code, 'REMOTE_UNAVAILABLE');
      assert.match(error.internal ?? '', message);
      assert.ok(performance.now() - started < RUN_TIMEOUT_MS + 150);
      assert.equal(stub.calls.length, 1);
      stub.onInfer = () => false;
      assert.ok(Math.abs((await scoreOf(running)) - linear([1, 2, 3])) < 1e-6, 'and works again afterwards');
    });
  }

  it('tries again, once and on a new connection, when a kept connection was closed before a byte came', async () => {
    const running = await load();
    const before = stub.connections;
    let closed = 0;
    stub.onInfer = ({ request }) => {
      if (closed > 0) return false;
      closed += 1;
      request.socket.destroy();
      return true;
    };
    assert.ok(Math.abs((await scoreOf(running)) - linear([1, 2, 3])) < 1e-6);
    assert.deepEqual([stub.calls.length, stub.connections - before], [2, 1]);
    // Now there is a kept connection again, and every connection is closed: the second one is the last.
    await scoreOf(running);
    stub.onInfer = ({ request }) => (request.socket.destroy(), true);
    stub.calls.length = 0;
    assert.equal((await failure(running.run(one(), 1))).code, 'REMOTE_UNAVAILABLE');
    assert.equal(stub.calls.length, 2);
    // None is kept: what a new connection does not answer is not sent again.
    assert.equal((await failure(running.run(one(), 1))).code, 'REMOTE_UNAVAILABLE');
    assert.equal(stub.calls.length, 3);
  });

  it('says that the server is unavailable when nothing listens any more', async () => {
    const running = await load();
    await stub.close();
    assert.equal((await failure(running.run(one(), 1))).code, 'REMOTE_UNAVAILABLE');
    stub = await RemoteStub.start();
  });

  it('sends the trace context of the batch along', async () => {
    const running = await load();
    const traceparent = `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`;
    await running.run(one(), 1, traceparent);
    await running.run(one(), 1);
    assert.deepEqual(
      stub.calls.map(({ request }) => request.headers['traceparent']),
      [traceparent, undefined],
    );
  });

  describe('before anybody depends on it', () => {
    it('is asked for the largest batch that it will get, and not for a larger one', async () => {
      let largest = 0;
      stub.onInfer = ({ rows }) => {
        largest = Math.max(largest, rows.length);
        return false;
      };
      await load({}, 100);
      assert.equal(largest, 100);
      largest = 0;
      await load({}, 4);
      assert.equal(largest, 4);
    });

    it('is refused when its scores differ by more than rounding', async () => {
      stub.bias = 0.101;
      const error = await failure(load());
      assert.equal(error.code, 'MODEL_LOAD_FAILED');
      assert.match(
        error.message,
        /toy-0123456789ab is not the one that was signed: the score of sample row 0 is 0\.\d+ there and 0\.\d+ here/,
      );
      stub.bias = 0.10001;
      await load();
    });

    it('is refused when a label differs', async () => {
      stub.onInfer = (call) => (
        stub.sendJson(call.response, stub.json(call, { label: { data: call.rows.map(() => 1) } })),
        true
      );
      assert.match((await failure(load())).message, /the label of sample row \d+ is 1 there and 0 here/);
    });

    it('is refused when only rows that share a batch come out wrong', async () => {
      stub.onInfer = (call) => {
        if (call.rows.length === 1) return false;
        stub.sendBinary(call, { scores: stub.scores(call.rows).toReversed() });
        return true;
      };
      assert.match((await failure(load())).message, /the score of sample row/);
    });

    it('is refused when it fails on a batch, or gives scores that are no numbers', async () => {
      stub.onInfer = ({ response, rows }) =>
        rows.length > 8 && (stub.sendJson(response, 'max_batch_size', 400), true);
      assert.match((await failure(load())).message, /failed on a batch of \d+ rows/);
      stub.onInfer = (call) => (stub.sendBinary(call, { scores: call.rows.map(() => NaN) }), true);
      assert.match((await failure(load())).message, /is NaN there/);
    });

    it('is refused when its metadata say that it takes something else, before a row is sent', async () => {
      stub.features = 4;
      const error = await failure(load());
      assert.equal(error.code, 'MODEL_LOAD_FAILED');
      assert.match(error.message, /features has the shape \[-1,4\], not \[-1, 3\]/);
      assert.equal(stub.calls.length, 0);
    });

    it('may still be loading for a while; after that, and when nothing listens, it is unavailable', async () => {
      stub.ready = false;
      setTimeout(() => (stub.ready = true), 100);
      await load({ readyWithinMs: 2000 });
      stub.ready = false;
      const error = await failure(load());
      assert.equal(error.code, 'REMOTE_UNAVAILABLE');
      assert.match(error.internal ?? '', /ready answered 503/);
      const { url } = stub;
      await stub.close();
      const settings = { ...DEFAULT_REMOTE_SETTINGS, readyWithinMs: 0 };
      const order = {
        digest: DIGEST,
        golden: GOLDEN,
        maxBatchRows: 8,
        runTimeoutMs: 100,
        settings,
        onLost: () => {},
      };
      const refused = await failure(loadRemote({ ...order, backend: { kind: 'remote', url, model: 'm' } }));
      assert.equal(refused.code, 'REMOTE_UNAVAILABLE');
      stub = await RemoteStub.start();
    });
  });

  describe('while it serves', () => {
    it('is lost when its model was swapped, and answers nobody from then on', async () => {
      const running = await load({ recheckMs: 1050 });
      stub.bias = 0.5;
      await eventually(() => lost.length > 0, 'the swap is found');
      assert.match(lost[0]!, /does not answer what was signed any more: the score of sample row 0/);
      const error = await failure(running.run(one(), 1));
      assert.deepEqual([error.code, lost.length], ['REMOTE_UNAVAILABLE', 1]);
    });

    it('is asked at once when its answers come from another version than before', async () => {
      const running = await load();
      await scoreOf(running);
      assert.equal(stub.calls.length, 1, 'no check while the version is the same');
      stub.modelVersion = '2';
      await scoreOf(running);
      await eventually(() => stub.calls.length === 3, 'the check');
      assert.equal(stub.calls[2]!.rows.length, ROWS.length);
      assert.deepEqual(lost, []);
      stub.bias = 0.5;
      stub.modelVersion = '3';
      await new Promise((resolve) => setTimeout(resolve, 1000));
      await scoreOf(running);
      await eventually(() => lost.length === 1, 'the swap is found');
    });

    it('stays while it cannot be asked: that says nothing about its model', async () => {
      const running = await load({ recheckMs: 1050 });
      let refused = 0;
      stub.onInfer = ({ response }) => {
        refused += 1;
        stub.sendJson(response, {}, 503);
        return true;
      };
      await eventually(() => refused > 0, 'the check');
      stub.onInfer = () => false;
      assert.ok((await scoreOf(running)) > 0);
      assert.deepEqual(lost, []);
    });
  });
});

import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { describe, it } from 'mocha';
import type { Worker } from 'node:worker_threads';
import { WorkerSession } from '../../../serving/models/worker-session.ts';

describe('a model in a thread', () => {
  it('is given up when the thread hangs: three runs in a row without any answer, and it is loaded anew', async () => {
    let lost = 0;
    const silent = Object.assign(new EventEmitter(), { postMessage() {} }) as unknown as Worker;
    const session = new WorkerSession(silent, { runTimeoutMs: 5, onLost: () => void (lost += 1) });
    for (let run = 1; run <= 3; run += 1) {
      assert.equal(lost, 0, 'a run may be late');
      await assert.rejects(session.run(new Float32Array(3), 1), { code: 'INFERENCE_FAILED' });
    }
    assert.equal(lost, 1);
    await assert.rejects(session.run(new Float32Array(3), 1), { code: 'INFERENCE_FAILED' });
    assert.equal(lost, 1);
  });

  it('is kept when an answer comes in between', async () => {
    let lost = 0;
    let silent = true;
    const worker = new EventEmitter();
    const postMessage = ({ id }: { id: number }): void => {
      const answer = { kind: 'ran', id, labels: new BigInt64Array(1), scores: new Float32Array(1), runMs: 1 };
      if (!silent) setImmediate(() => worker.emit('message', answer));
    };
    const thread = Object.assign(worker, { postMessage }) as unknown as Worker;
    const session = new WorkerSession(thread, { runTimeoutMs: 5, onLost: () => void (lost += 1) });
    for (let round = 0; round < 3; round += 1) {
      silent = true;
      for (let run = 0; run < 2; run += 1) await assert.rejects(session.run(new Float32Array(3), 1));
      silent = false;
      await session.run(new Float32Array(3), 1);
    }
    assert.equal(lost, 0);
  });
});

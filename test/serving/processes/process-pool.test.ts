import assert from 'node:assert/strict';
import type { Worker } from 'node:cluster';
import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { ProcessPool } from '../../../serving/processes/process-pool.ts';
import type { ListenWhen } from '../../../serving/processes/messages.ts';
import { eventually } from '../gateway-fixture.ts';

/** A process as the cluster module shows it. */
class FakeWorker extends EventEmitter {
  readonly signals: string[] = [];
  readonly slot: number;
  readonly listen: ListenWhen;
  /** Leaves when it is asked to. */
  obeys = true;
  readonly process = {
    pid: 4_000_000,
    kill: (signal: string): void => {
      this.signals.push(signal);
      if (signal === 'SIGKILL') this.emit('exit', null, signal);
      else if (this.obeys) this.emit('exit', 0, null);
    },
  };

  constructor(slot: number, listen: ListenWhen) {
    super();
    this.slot = slot;
    this.listen = listen;
  }

  isConnected(): boolean {
    return true;
  }

  works(): void {
    this.emit('message', { kind: 'listening' });
    this.emit('message', { kind: 'ready' });
  }
}

describe('the pool of gateway processes', () => {
  let started: FakeWorker[];
  let errors: { message: string; waitMs: number }[];
  let hopeless: string[];
  let pool: ProcessPool;

  beforeEach(() => {
    [started, errors, hopeless] = [[], [], []];
    const note = (fields: Readonly<Record<string, unknown>>, message: string): void =>
      void errors.push({ message, waitMs: Number(fields['waitMs']) });
    pool = new ProcessPool({
      spawn: (slot, listen) => {
        const worker = new FakeWorker(slot, listen);
        started.push(worker);
        return worker as unknown as Worker;
      },
      onMessage() {},
      onHopeless: (reason) => hopeless.push(reason),
      log: { info() {}, warn: note, error: note },
      timeoutMsStop: 50,
      timeoutMsReady: 50,
    });
  });
  afterEach(() => pool.stop());

  it('lets the first process listen at once and those beside it only when they are ready', async () => {
    pool.resize(2);
    assert.deepEqual(
      started.map(({ listen }) => listen),
      ['now', 'when-ready'],
    );
    for (const worker of started) worker.works();
    // Nobody else is there: callers should at least be told that it is not ready yet.
    for (const worker of started) worker.emit('exit', 1, null);
    await eventually(() => started.length === 4, 'both come back');
    assert.deepEqual(
      started.slice(2).map(({ listen }) => listen),
      ['now', 'when-ready'],
    );
  });

  it('starts a crashed process again in its slot, later each time', async () => {
    pool.resize(2);
    for (const worker of started) worker.works();
    started[1]!.emit('exit', null, 'SIGSEGV');
    await eventually(() => started.length === 3, 'it is back');
    assert.deepEqual([started[2]!.slot, pool.restarts.get(1)], [1, 1]);
    started[2]!.emit('exit', 1, null);
    await eventually(() => errors.length === 2, 'a second crash');
    assert.deepEqual(
      errors.map(({ waitMs }) => waitMs),
      [250, 500],
    );
  });

  it('gives up only when nothing ever listened', async () => {
    pool.resize(1);
    started[0]!.emit('exit', 1, null);
    await eventually(() => hopeless.length === 1, 'it says so');
    assert.match(hopeless[0]!, /ended with code 1 before it could listen/);
  });

  it('stops a rolling restart whose replacement crashes or never gets ready, and keeps what works', async () => {
    pool.resize(1);
    started[0]!.works();
    const crashing = pool.roll();
    started[1]!.emit('exit', 1, null);
    assert.equal(await crashing, false);
    assert.equal(await pool.roll(), false);
    assert.deepEqual(started[0]!.signals, []);
    assert.deepEqual(started[2]!.signals, ['SIGTERM']);
    assert.deepEqual(
      pool.members.map(({ slot }) => slot),
      [0],
    );
  });

  it('ends a process that does not drain in time', async () => {
    pool.resize(2);
    for (const worker of started) worker.works();
    started[1]!.obeys = false;
    pool.resize(1);
    await eventually(() => pool.members.length === 1, 'it is gone');
    assert.deepEqual(started[1]!.signals, ['SIGTERM', 'SIGKILL']);
  });

  it('applies a size that was asked for during a rolling restart after it', async () => {
    pool.resize(2);
    for (const worker of started) worker.works();
    const rolled = pool.roll();
    pool.resize(3);
    started[2]!.works();
    await eventually(() => started.length === 4, 'the second replacement');
    started[3]!.works();
    assert.equal(await rolled, true);
    await eventually(() => started.length === 5, 'the third process');
    assert.equal(pool.members.length, 3);
    assert.equal(new Set(pool.members.map(({ slot }) => slot)).size, 3);
  });
});

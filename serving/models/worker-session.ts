/** A session in a thread of its own: nothing that the model does can stop the event loop. */
import type { Worker } from 'node:worker_threads';
import type { RunResult, ThreadOrder } from './load-order.ts';
import type { ModelSession, RunOutput } from './model-session.ts';
import { executorFailed, inferenceFailed } from './run-failure.ts';

const ENDED = 'the thread of the model has ended';
const TOO_LONG = 'the run took too long';

interface Pending {
  readonly resolve: (output: RunOutput) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

export interface WorkerSessionOptions {
  /** A run that takes longer has failed: a model that hangs must look like one that breaks. */
  readonly runTimeoutMs: number;
  /** The thread ended although the session was not retired. */
  readonly onLost: () => void;
}

/** Runs in a row without any answer: the thread hangs, and is not only late. */
const SILENT_RUNS = 3;

export class WorkerSession implements ModelSession {
  readonly placement = 'worker';
  readonly concurrency = 1;
  readonly #worker: Worker;
  readonly #options: WorkerSessionOptions;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #retired = false;
  #gone = false;
  #silent = 0;
  readonly #exit: Promise<void>;

  /** `worker` has loaded its model and kept it. */
  constructor(worker: Worker, options: WorkerSessionOptions) {
    this.#worker = worker;
    this.#options = options;
    worker.on('message', (result: RunResult) => this.#settle(result));
    this.#exit = new Promise((resolve) => {
      worker.on('exit', () => {
        this.#exited();
        resolve();
      });
    });
  }

  run(features: Float32Array, rows: number): Promise<RunOutput> {
    if (this.#gone) return Promise.reject(executorFailed(ENDED));
    const id = (this.#lastId += 1);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#timedOut(id), this.#options.runTimeoutMs);
      this.#pending.set(id, { resolve, reject, timer });
      // A view of something larger, such as a request's body, would take all of it away.
      const whole = features.byteLength === features.buffer.byteLength;
      const own = whole ? features : features.slice();
      const order: ThreadOrder = { kind: 'run', id, features: own, rows };
      this.#worker.postMessage(order, [own.buffer as ArrayBuffer]);
    });
  }

  retire(): Promise<void> {
    if (!this.#retired) {
      this.#retired = true;
      // Done after all runs, also those that were given up.
      const order: ThreadOrder = { kind: 'end' };
      this.#worker.postMessage(order, []);
    }
    return this.#exit;
  }

  #timedOut(id: number): void {
    this.#fail(id, executorFailed(TOO_LONG));
    this.#silent += 1;
    if (this.#gone || this.#retired || this.#silent < SILENT_RUNS) return;
    this.#gone = true;
    // It ends by itself, should it ever come back; nobody waits for that.
    void this.retire();
    this.#options.onLost();
  }

  #settle(result: RunResult): void {
    this.#silent = 0;
    if (result.kind === 'failed') return this.#fail(result.id, inferenceFailed(result.internal));
    const { labels, scores, runMs } = result;
    this.#take(result.id)?.resolve({ labels, scores, runMs });
  }

  #fail(id: number, error: Error): void {
    this.#take(id)?.reject(error);
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    clearTimeout(pending?.timer);
    return pending;
  }

  #exited(): void {
    this.#gone = true;
    for (const id of this.#pending.keys()) this.#fail(id, executorFailed(ENDED));
    if (!this.#retired) this.#options.onLost();
  }
}

/** A session in a thread of its own: nothing that the model does can stop the event loop. */
import type { Worker } from 'node:worker_threads';
import type { RunResult, ThreadOrder } from './load-order.ts';
import type { ModelOutput, ModelSession } from './model-session.ts';
import { inferenceFailed } from './onnx.ts';

interface Pending {
  readonly resolve: (output: ModelOutput) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

export interface WorkerSessionOptions {
  /** A run that takes longer has failed: a model that hangs must look like one that breaks. */
  readonly runTimeoutMs: number;
  /** The thread ended although the session was not retired. */
  readonly onLost: () => void;
}

export class WorkerSession implements ModelSession {
  readonly placement = 'worker';
  readonly #worker: Worker;
  readonly #options: WorkerSessionOptions;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #retired = false;
  #gone = false;
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

  run(features: Float32Array, rows: number): Promise<ModelOutput> {
    if (this.#gone) return Promise.reject(inferenceFailed('the thread of the model has ended'));
    const id = (this.#lastId += 1);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#fail(id, 'the run took too long'), this.#options.runTimeoutMs);
      this.#pending.set(id, { resolve, reject, timer });
      const order: ThreadOrder = { kind: 'run', id, features, rows };
      this.#worker.postMessage(order, [features.buffer as ArrayBuffer]);
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

  #settle(result: RunResult): void {
    if (result.kind === 'failed') return this.#fail(result.id, result.internal);
    this.#take(result.id)?.resolve({ labels: result.labels, scores: result.scores });
  }

  #fail(id: number, internal: string): void {
    this.#take(id)?.reject(inferenceFailed(internal));
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    clearTimeout(pending?.timer);
    return pending;
  }

  #exited(): void {
    this.#gone = true;
    for (const id of this.#pending.keys()) this.#fail(id, 'the thread of the model has ended');
    if (!this.#retired) this.#options.onLost();
  }
}

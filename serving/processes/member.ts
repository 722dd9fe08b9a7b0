/** One gateway process as its primary sees it. */
import type { Worker } from 'node:cluster';
import type { ProcessSample } from '../../domain/autoscale/index.ts';
import type { FromMember, ListenWhen, ToMember } from './messages.ts';

export interface Ended {
  /** `ended with code 1`, `ended by SIGKILL`. */
  readonly how: string;
}

interface Report {
  readonly sample: ProcessSample;
  readonly connections: number;
  readonly atMs: number;
}

export class Member {
  readonly slot: number;
  readonly listen: ListenWhen;
  readonly startedMs: number;
  listening = false;
  ready = false;
  draining = false;
  /** A replacement that has not shown yet that it works; when it ends, it is not started again. */
  onTrial = false;
  readonly ended: Promise<Ended>;
  #report: Report | null = null;
  #gone = false;
  readonly #worker: Worker;
  readonly #readyListeners: (() => void)[] = [];

  constructor(
    slot: number,
    listen: ListenWhen,
    worker: Worker,
    onMessage: (from: Member, message: FromMember) => void,
  ) {
    this.slot = slot;
    this.listen = listen;
    this.#worker = worker;
    this.startedMs = performance.now();
    worker.on('message', (message: FromMember) => {
      this.#heard(message);
      onMessage(this, message);
    });
    this.ended = new Promise((resolve) => {
      // Without an exit when the program itself could not be started.
      const end = (how: string): void => {
        this.#gone = true;
        resolve({ how });
      };
      worker.once('exit', (code: number | null, signal: string | null) =>
        end(signal === null || signal === '' ? `ended with code ${String(code)}` : `ended by ${signal}`),
      );
      worker.on('error', (error) => {
        if (worker.process.pid === undefined) end(`could not be started: ${error.message}`);
      });
    });
  }

  get pid(): number | undefined {
    return this.#worker.process.pid;
  }

  /** Null when its last report is older than that. */
  report(withinMs: number): Report | null {
    return this.#report !== null && performance.now() - this.#report.atMs <= withinMs ? this.#report : null;
  }

  whenReady(): Promise<void> {
    if (this.ready) return Promise.resolve();
    return new Promise((resolve) => {
      this.#readyListeners.push(resolve);
    });
  }

  tell(message: ToMember): void {
    // One that is ending may be told nothing more; its exit is what counts.
    if (!this.#gone && this.#worker.isConnected()) this.#worker.send(message, undefined, () => undefined);
  }

  kill(signal: 'SIGTERM' | 'SIGKILL'): void {
    if (!this.#gone) this.#worker.process.kill(signal);
  }

  #heard(message: FromMember): void {
    if (message.kind === 'listening') this.listening = true;
    else if (message.kind === 'ready') {
      this.ready = true;
      for (const listener of this.#readyListeners.splice(0)) listener();
    } else if (message.kind === 'load') {
      const { load, seconds, connections } = message;
      const { requests, p99Ms, utilisation } = load;
      const sample = { requests, requestsPerSecond: requests / seconds, p99Ms, utilisation };
      this.#report = { sample, connections, atMs: performance.now() };
    }
  }
}

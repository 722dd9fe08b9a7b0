/**
 * A closed loop of keep-alive connections: each sends its next request when its answer has come. It writes ready-made
 * bytes to sockets and reads no more of an answer than its status and length, so that it is never the bottleneck.
 * Latencies are those of a closed loop: they say what a request costs when so many callers wait, not what a stream of
 * arrivals would see.
 */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { once } from 'node:events';
import { build } from 'hdr-histogram-js';
import type { Histogram } from 'hdr-histogram-js';

const HEAD_END = Buffer.from('\r\n\r\n');
const MAX_US = 60_000_000;

export interface Load {
  readonly requests: number;
  readonly elapsedMs: number;
  /** In microseconds. */
  readonly latency: Histogram;
}

export function postBytes(path: string, headers: Readonly<Record<string, string>>, body: Buffer): Buffer {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n${lines.join('')}content-length: ${body.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head, 'latin1'), body]);
}

export class LoadClient {
  readonly #connections: readonly Connection[];

  private constructor(connections: readonly Connection[]) {
    this.#connections = connections;
  }

  /** `requests` are sent in turn; each connection starts at another one. */
  static async open(port: number, connections: number, requests: readonly Buffer[]): Promise<LoadClient> {
    const step = Math.max(1, Math.floor(requests.length / connections));
    const opened = Array.from(
      { length: connections },
      (_, index) => new Connection(port, requests, index * step),
    );
    await Promise.all(opened.map((connection) => connection.ready()));
    return new LoadClient(opened);
  }

  /** Sends for `ms`, then waits for the last answers. */
  async run(ms: number): Promise<Load> {
    const latency = newHistogram();
    const start = performance.now();
    const counts = await Promise.all(
      this.#connections.map((connection) => connection.run(start + ms, latency)),
    );
    return { requests: counts.reduce((a, b) => a + b, 0), elapsedMs: performance.now() - start, latency };
  }

  close(): void {
    for (const connection of this.#connections) connection.close();
  }
}

export function newHistogram(): Histogram {
  return build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: MAX_US,
    numberOfSignificantValueDigits: 3,
  });
}

class Connection {
  readonly #socket: Socket;
  readonly #requests: readonly Buffer[];
  #next: number;
  #received: Buffer | null = null;
  #sentAt = 0;
  #done = 0;
  #until = 0;
  #latency: Histogram = newHistogram();
  #finish: (count: number) => void = () => undefined;
  #fail: (error: Error) => void = () => undefined;

  constructor(port: number, requests: readonly Buffer[], first: number) {
    this.#requests = requests;
    this.#next = first % requests.length;
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.on('data', (chunk) => this.#read(chunk));
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('close', () => this.#fail(new Error('the server closed a connection')));
  }

  async ready(): Promise<void> {
    if (this.#socket.connecting) await once(this.#socket, 'connect');
  }

  run(until: number, latency: Histogram): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#done = 0;
      this.#until = until;
      this.#latency = latency;
      this.#finish = resolve;
      this.#fail = reject;
      this.#send();
    });
  }

  close(): void {
    this.#fail = () => undefined;
    this.#socket.destroy();
  }

  #send(): void {
    const request = this.#requests[this.#next] as Buffer;
    this.#next = (this.#next + 1) % this.#requests.length;
    this.#sentAt = performance.now();
    this.#socket.write(request);
  }

  #read(chunk: Buffer): void {
    const received = this.#received === null ? chunk : Buffer.concat([this.#received, chunk]);
    const headEnd = received.indexOf(HEAD_END);
    const head = headEnd === -1 ? '' : received.toString('latin1', 0, headEnd);
    const length = headEnd === -1 ? Infinity : Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? NaN);
    if (Number.isNaN(length)) return this.#fail(new Error(`an answer without a length: ${head}`));
    if (received.length < headEnd + HEAD_END.length + length) {
      this.#received = received;
      return;
    }
    const now = performance.now();
    this.#received = null;
    if (!head.startsWith('HTTP/1.1 200')) return this.#fail(new Error(received.toString('latin1', 0, 1000)));
    this.#latency.recordValue(Math.min(MAX_US, Math.round((now - this.#sentAt) * 1000)));
    this.#done += 1;
    if (now < this.#until) this.#send();
    else this.#finish(this.#done);
  }
}

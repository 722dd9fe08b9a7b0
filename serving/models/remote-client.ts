/**
 * HTTP to one inference server, over connections that are kept. A call has one time limit for all of it and a bound on
 * its answer. It is repeated once, when a kept connection turns out to have been closed before a byte of the answer
 * came: servers close idle connections at any moment, and to predict twice does no harm. Nothing else is repeated here.
 */
import http from 'node:http';
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage, RequestOptions } from 'node:http';
import https from 'node:https';
import { remoteUnavailable } from './run-failure.ts';

export interface RemoteCall {
  readonly method: 'GET' | 'POST';
  /** Below the server's URL, with a leading slash. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly timeoutMs: number;
  readonly maxBytes: number;
}

export interface RemoteReply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** The connection was one that had been kept, and it ended before anything of the answer came. */
class StaleConnection extends Error {}

export class RemoteClient {
  readonly url: string;
  readonly #request: typeof http.request;
  readonly #agent: http.Agent;

  constructor(url: string, connections: number) {
    this.url = url.replace(/\/+$/, '');
    const secure = this.url.startsWith('https:');
    const settings = { keepAlive: true, maxSockets: connections };
    this.#request = secure ? https.request : http.request;
    this.#agent = secure ? new https.Agent(settings) : new http.Agent(settings);
  }

  /** @throws SlipwayError `REMOTE_UNAVAILABLE` when there is no whole answer in time */
  async call(call: RemoteCall): Promise<RemoteReply> {
    const endMs = performance.now() + call.timeoutMs;
    try {
      return await this.#once(call, call.timeoutMs, this.#agent);
    } catch (error) {
      if (!(error instanceof StaleConnection)) throw error;
      // All kept connections may have been closed together, as when the server restarts: this one is new.
      return await this.#once(call, Math.max(1, endMs - performance.now()), false);
    }
  }

  /** Ends all connections, also those in use. */
  close(): void {
    this.#agent.destroy();
  }

  #once(call: RemoteCall, timeoutMs: number, agent: http.Agent | false): Promise<RemoteReply> {
    const { method, path, body, headers } = call;
    return new Promise((resolve, reject) => {
      const length = body === undefined ? {} : { 'content-length': String(body.length) };
      const options: RequestOptions = { method, agent, headers: { ...headers, ...length } };
      const request = this.#request(this.url + path, options);
      const timer = setTimeout(() => fail(new Error(`no answer within ${call.timeoutMs} ms`)), timeoutMs);
      let readBefore = 0;
      request.once('socket', ({ bytesRead }) => {
        readBefore = bytesRead;
      });
      const fail = (error: Error): void => {
        clearTimeout(timer);
        reject(wasStale(request, readBefore, error) ? new StaleConnection() : unavailable(this.url, error));
        request.destroy();
      };
      // Also after the promise is settled: an error without a listener would end the process.
      request.on('error', fail);
      request.once('response', (response) => {
        readAll(response, call.maxBytes).then((read) => {
          clearTimeout(timer);
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: read });
        }, fail);
      });
      request.end(body);
    });
  }
}

const CLOSED: ReadonlySet<string | undefined> = new Set(['ECONNRESET', 'EPIPE']);

function wasStale(request: ClientRequest, readBefore: number, error: NodeJS.ErrnoException): boolean {
  return request.reusedSocket && CLOSED.has(error.code) && request.socket?.bytesRead === readBefore;
}

async function readAll(response: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBytes) throw new Error(`the answer is longer than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, length);
}

function unavailable(url: string, error: Error): Error {
  return remoteUnavailable(`${url}: ${error.message || String(error)}`);
}

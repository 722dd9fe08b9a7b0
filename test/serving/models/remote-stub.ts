/** A small V2 server that computes the linear model, or does what a test tells it to do instead; it counts its calls. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { linear } from '../gateway-fixture.ts';

export interface StubCall {
  readonly model: string;
  readonly rows: readonly (readonly number[])[];
  readonly binary: boolean;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

const PATH = /^\/v2\/models\/([^/]+)(\/ready|\/infer)?$/;

export class RemoteStub {
  extensions = ['binary_tensor_data'];
  ready = true;
  bias = 0.1;
  modelVersion = '1';
  features = 3;
  /** Instead of an answer; true when it has dealt with the call. */
  onInfer: (call: StubCall) => boolean = () => false;
  readonly paths: string[] = [];
  readonly calls: StubCall[] = [];
  connections = 0;
  readonly #server: Server;

  static async start(): Promise<RemoteStub> {
    const stub = new RemoteStub();
    stub.#server.listen(0, '127.0.0.1');
    await once(stub.#server, 'listening');
    return stub;
  }

  private constructor() {
    this.#server = createServer((request, response) => void this.#handle(request, response));
    this.#server.on('connection', () => (this.connections += 1));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  /** What an honest server answers to these rows. */
  scores(rows: StubCall['rows']): number[] {
    return rows.map((row) => Math.fround(linear(row, this.bias)));
  }

  json(call: StubCall, changes: { label?: object; score?: object; outputs?: unknown } = {}): object {
    const scores = this.scores(call.rows);
    const shape = [call.rows.length];
    const labels = scores.map((score) => (score >= 0.5 ? 1 : 0));
    return {
      model_name: call.model,
      model_version: this.modelVersion,
      outputs: changes.outputs ?? [
        { name: 'label', datatype: 'INT64', shape, data: labels, ...changes.label },
        { name: 'score', datatype: 'FP32', shape, data: scores, ...changes.score },
      ],
    };
  }

  sendJson(response: ServerResponse, body: unknown, status = 200): void {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  }

  /** As a server with the binary extension does it; the label may have another integer type. */
  sendBinary(
    call: StubCall,
    {
      labels = 'INT64',
      scores = this.scores(call.rows),
    }: { labels?: 'INT64' | 'INT32'; scores?: number[] } = {},
  ): void {
    const classes = this.scores(call.rows).map((score) => (score >= 0.5 ? 1 : 0));
    const label = labels === 'INT64' ? BigInt64Array.from(classes, BigInt) : Int32Array.from(classes);
    const score = Float32Array.from(scores);
    const shape = [call.rows.length];
    const size = (length: number) => ({ binary_data_size: length });
    const json = Buffer.from(
      JSON.stringify({
        model_name: call.model,
        model_version: this.modelVersion,
        outputs: [
          { name: 'label', datatype: labels, shape, parameters: size(label.byteLength) },
          { name: 'score', datatype: 'FP32', shape, parameters: size(score.byteLength) },
        ],
      }),
    );
    call.response.writeHead(200, { 'inference-header-content-length': String(json.length) });
    call.response.end(Buffer.concat([json, Buffer.from(label.buffer), Buffer.from(score.buffer)]));
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const { url = '' } = request;
    this.paths.push(url);
    if (url === '/v2')
      return this.sendJson(response, { name: 'stub', version: '0', extensions: this.extensions });
    const [, model = '', what] = PATH.exec(url) ?? [];
    if (what === '/ready') return this.sendJson(response, {}, this.ready ? 200 : 503);
    if (what === undefined) return this.sendJson(response, this.#metadata(model));
    const call = { model, request, response, ...rowsOf(request, Buffer.concat(chunks)) };
    this.calls.push(call);
    if (this.onInfer(call)) return;
    if (call.binary) this.sendBinary(call);
    else this.sendJson(response, this.json(call));
  }

  #metadata(name: string): object {
    return {
      name,
      versions: [this.modelVersion],
      platform: 'stub',
      inputs: [{ name: 'features', datatype: 'FP32', shape: [-1, this.features] }],
      outputs: [
        { name: 'label', datatype: 'INT64', shape: [-1] },
        { name: 'score', datatype: 'FP32', shape: [-1] },
      ],
    };
  }
}

function rowsOf(request: IncomingMessage, body: Buffer): { rows: number[][]; binary: boolean } {
  const header = request.headers['inference-header-content-length'];
  const json = JSON.parse(body.toString('utf8', 0, header === undefined ? body.length : Number(header))) as {
    inputs: [{ shape: [number, number]; data?: number[] }];
  };
  const [{ shape, data }] = json.inputs;
  const bytes = Uint8Array.prototype.slice.call(body, Number(header ?? 0));
  const values = data ?? [...new Float32Array(bytes.buffer)];
  const rows = Array.from({ length: shape[0] }, (_, row) =>
    values.slice(row * shape[1], (row + 1) * shape[1]),
  );
  return { rows, binary: data === undefined };
}

/** Guarantees to a caller who is turned away: at once, unread, on a connection that goes on; and to all: health stays. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { after, before, describe, it } from 'mocha';
import { ENDPOINT } from '../control-plane.ts';
import { GatewayFixture, eventually, request } from '../gateway-fixture.ts';
import type { Client } from '../gateway-fixture.ts';

const PATH = `/v2/models/${ENDPOINT}/infer`;
const BODY = JSON.stringify(request([[1, 2, 3]]));
/** Nobody can answer within half of this, so every such request is rejected. */
const HOPELESS = { 'x-deadline-ms': '1' };

function head(headers: Record<string, string>, length: number): string {
  const all = { host: 'x', 'content-type': 'application/json', 'content-length': String(length), ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `POST ${PATH} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

/** One connection, and everything that came back on it. */
class Wire {
  readonly socket: Socket;
  text = '';
  closed = false;

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.on('data', (chunk: Buffer) => (this.text += chunk.toString('latin1')));
    this.socket.on('close', () => (this.closed = true));
  }

  statuses(): number[] {
    return [...this.text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status));
  }

  async expect(statuses: readonly number[]): Promise<void> {
    await eventually(
      () => this.statuses().length >= statuses.length,
      `${statuses.length} answers: ${this.text}`,
    );
    assert.deepEqual(this.statuses(), statuses);
  }
}

describe('admission: over HTTP', () => {
  let fixture: GatewayFixture;
  let client: Client;
  const wires: Wire[] = [];

  const wire = (): Wire => {
    const one = new Wire(Number(new URL(client.url).port));
    wires.push(one);
    return one;
  };

  before(async () => {
    fixture = await GatewayFixture.create();
    // With no share of the deadline to wait in, whoever asks for a deadline of 1 ms is rejected.
    const admission = { waitShare: 0.01 };
    ({ client } = await fixture.startServing({ admission }));
  });
  after(async () => {
    for (const { socket } of wires) socket.destroy();
    await fixture.remove();
  });

  it('answers 429 with Retry-After, the code and retryable', async () => {
    const reply = await client.post(BODY, { headers: HOPELESS });
    assert.equal(reply.status, 429);
    assert.deepEqual([reply.body.code, reply.body.retryable], ['OVERLOADED', true]);
    const seconds = Number(reply.headers.get('retry-after'));
    assert.ok(Number.isInteger(seconds) && seconds >= 1 && seconds <= 30, `${seconds}`);
  });

  it('decides before the body: who has sent the headers only has the 429 at once', async () => {
    const one = wire();
    one.socket.write(head(HOPELESS, 1_000_000));
    await one.expect([429]);
    assert.equal(one.closed, false);
  });

  it('keeps the connection: a request after an unread body of 1 MB is answered on it', async () => {
    const one = wire();
    const large = Buffer.alloc(1_000_000, 0x20);
    one.socket.write(head(HOPELESS, large.length));
    one.socket.write(large);
    one.socket.write(head({ 'x-deadline-ms': '600000' }, BODY.length) + BODY);
    await one.expect([429, 200]);
    one.socket.write(
      head(HOPELESS, BODY.length) + BODY + head({ 'x-deadline-ms': '600000' }, BODY.length) + BODY,
    );
    await one.expect([429, 200, 429, 200]);
    assert.equal(one.closed, false);
  });

  it('answers pipelined requests in their order, whether rejected or not', async () => {
    const one = wire();
    const good = head({ 'x-deadline-ms': '600000' }, BODY.length) + BODY;
    const bad = head(HOPELESS, BODY.length) + BODY;
    one.socket.write(good + bad + good + bad + bad + good);
    await one.expect([200, 429, 200, 429, 429, 200]);
  });

  it('tells who asks with Expect whether to send the body', async () => {
    const rejected = wire();
    rejected.socket.write(head({ ...HOPELESS, expect: '100-continue' }, BODY.length));
    await rejected.expect([429]);
    const admitted = wire();
    admitted.socket.write(head({ 'x-deadline-ms': '600000', expect: '100-continue' }, BODY.length));
    await admitted.expect([100]);
    admitted.socket.write(BODY);
    await admitted.expect([100, 200]);
  });

  it('closes the connection for a caller who asks for it', async () => {
    const one = wire();
    one.socket.write(head({ ...HOPELESS, connection: 'close' }, BODY.length) + BODY);
    await once(one.socket, 'close');
    assert.deepEqual(one.statuses(), [429]);
  });

  it('passes pinned requests through the same door', async () => {
    const version = (await client.post(BODY, { headers: { 'x-deadline-ms': '600000' } })).body.model_version;
    const reply = await client.post(BODY, { version, headers: HOPELESS });
    assert.equal(reply.status, 429);
  });

  it('never sheds health, metadata and metrics', async () => {
    for (const path of ['/v2/health/live', '/v2/health/ready', '/v2', `/v2/models/${ENDPOINT}`, '/metrics']) {
      assert.equal(
        (await client.send(path, { headers: { ...HOPELESS, 'x-priority': 'bulk' } })).status,
        200,
        path,
      );
    }
  });

  it('names what is wrong with a header', async () => {
    const reply = await client.post(BODY, { headers: { 'x-priority': 'urgent' } });
    assert.equal(reply.status, 400);
    assert.match(reply.body.error, /x-priority.*"urgent"/);
  });

  it('answers 504 when the deadline of the body’s parameters has passed', async () => {
    // One microsecond: over before the model can be asked.
    const body = request([[1, 2, 3]], { parameters: { timeout: 1 } });
    const reply = await client.post(body, { headers: { 'x-deadline-ms': '600000' } });
    assert.deepEqual([reply.status, reply.body.code], [504, 'DEADLINE_EXCEEDED']);
  });
});

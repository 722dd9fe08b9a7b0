import assert from 'node:assert/strict';
import { deflateSync, gzipSync } from 'node:zlib';
import { after, afterEach, before, describe, it } from 'mocha';
import { ENDPOINT } from '../control-plane.ts';
import { GatewayFixture, linear, request } from '../gateway-fixture.ts';
import type { Client } from '../gateway-fixture.ts';

const ROW = [1, 2, 3];
const LIMIT = 64 * 1024;

describe('gateway: binary tensors and compressed bodies over HTTP', () => {
  let fixture: GatewayFixture;
  let client: Client;

  before(async () => {
    fixture = await GatewayFixture.create();
    ({ client } = await fixture.startServing({ settings: { maxBodyBytes: LIMIT } }));
  });
  after(() => fixture.remove());
  afterEach(async () => {
    assert.equal((await client.predict()).status, 200, 'the next request works');
  });

  const send = (body: Buffer | string, headers: Record<string, string>): Promise<Response> =>
    fetch(`${client.url}/v2/models/${ENDPOINT}/infer`, {
      method: 'POST',
      // As bytes: text would get a content type of its own.
      body: new Uint8Array(Buffer.from(body)),
      headers,
    });

  async function refusal(body: Buffer | string, headers: Record<string, string>): Promise<unknown[]> {
    const response = await send(body, headers);
    const { code, error } = (await response.json()) as { code: string; error: string };
    return [response.status, code, error];
  }

  it('answers a raw request with raw tensors, and says in the headers where they begin', async () => {
    const body = Buffer.from(Float32Array.from(ROW).buffer);
    const response = await send(body, {
      'content-type': 'application/octet-stream',
      'inference-header-content-length': '0',
    });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('content-type'), 'application/octet-stream');
    assert.equal(response.headers.get('x-slipway-arm'), 'champion');
    const answer = Buffer.from(await response.arrayBuffer());
    const headerLength = Number(response.headers.get('inference-header-content-length'));
    const document = JSON.parse(answer.toString('utf8', 0, headerLength)) as { outputs: { name: string }[] };
    assert.deepEqual(
      document.outputs.map(({ name }) => name),
      ['label', 'score'],
    );
    assert.equal(answer.length, headerLength + 8 + 4);
    assert.equal(answer.readBigInt64LE(headerLength), 1n);
    assert.ok(Math.abs(answer.readFloatLE(headerLength + 8) - linear(ROW)) < 1e-6);
  });

  it('unpacks gzip and deflate, with JSON and with binary tensors', async () => {
    const json = Buffer.from(JSON.stringify(request([ROW])));
    for (const [encoding, pack] of [
      ['gzip', gzipSync],
      ['GZIP', gzipSync],
      ['deflate', deflateSync],
    ] as const) {
      const response = await send(pack(json), { 'content-encoding': encoding });
      assert.equal(response.status, 200, encoding);
    }
    const raw = gzipSync(Buffer.from(Float32Array.from(ROW).buffer));
    const response = await send(raw, { 'content-encoding': 'gzip', 'inference-header-content-length': '0' });
    assert.equal(response.status, 200);
  });

  it('stops unpacking at the limit of the body: 413', async () => {
    const bomb = gzipSync(Buffer.alloc(50 * 1024 * 1024));
    assert.ok(bomb.length < LIMIT);
    const [status, code] = await refusal(bomb, { 'content-encoding': 'gzip' });
    assert.deepEqual([status, code], [413, 'BODY_TOO_LARGE']);
    const exact = `${JSON.stringify(request([ROW]))}${' '.repeat(LIMIT)}`.slice(0, LIMIT);
    assert.equal((await send(gzipSync(exact), { 'content-encoding': 'gzip' })).status, 200);
  });

  it('names what is wrong with an encoding or a header length', async () => {
    const json = JSON.stringify(request([ROW]));
    const whole = gzipSync(json);
    const length = (value: string): Record<string, string> => ({ 'inference-header-content-length': value });
    const cases: [Buffer | string, Record<string, string>, number, RegExp][] = [
      [json, { 'content-encoding': 'gzip' }, 400, /not gzip/],
      [json, { 'content-encoding': 'deflate' }, 400, /not deflate/],
      [whole.subarray(0, -9), { 'content-encoding': 'gzip' }, 400, /not gzip/],
      [whole, {}, 400, /not JSON/],
      [whole, { 'content-encoding': 'br' }, 415, /gzip, deflate or identity/],
      [whole, { 'content-encoding': 'gzip, gzip' }, 415, /gzip, deflate or identity/],
      [json, length('-1'), 400, /Inference-Header-Content-Length must be a whole number/],
      [json, length('1e3'), 400, /Inference-Header-Content-Length must be/],
      [json, length('12, 12'), 400, /Inference-Header-Content-Length must be/],
      [json, length('99999999999999999999'), 400, /Inference-Header-Content-Length must be/],
      [
        json,
        length(String(json.length + 1)),
        400,
        /Inference-Header-Content-Length is \d+, and the body has/,
      ],
      [json, length('5'), 400, /not JSON/],
      [json, length('0'), 400, /12 bytes for each row/],
    ];
    for (const [body, headers, status, words] of cases) {
      const [found, , error] = await refusal(body, headers);
      assert.equal(found, status, JSON.stringify(headers));
      assert.match(String(error), words);
    }
    assert.equal((await send(json, length(String(json.length)))).status, 200, 'all of it may be JSON');
  });

  it('lists the repository and refuses to change it', async () => {
    const post = (path: string, body = ''): Promise<Response> =>
      fetch(client.url + path, { method: 'POST', body: new Uint8Array(Buffer.from(body)) });
    const index = await post('/v2/repository/index');
    assert.equal(index.status, 200);
    assert.equal(((await index.json()) as unknown[]).length, 1);
    for (const [action, body, status] of [
      ['load', '', 403],
      ['unload', '{"parameters":{"unload_dependents":true}}', 403],
      ['load', '{"parameters":{"config":"{}"}}', 400],
      ['load', '[', 400],
    ] as const) {
      assert.equal((await post(`/v2/repository/models/${ENDPOINT}/${action}`, body)).status, status, body);
    }
  });
});

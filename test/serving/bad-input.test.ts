import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, afterEach, before, describe, it } from 'mocha';
import { ENDPOINT } from './control-plane.ts';
import { GatewayFixture, request } from './gateway-fixture.ts';
import type { Client } from './gateway-fixture.ts';

const good = { name: 'features', datatype: 'FP32', shape: [1, 3], data: [1, 2, 3] };
const withInput = (change: object): object => ({ inputs: [{ ...good, ...change }] });
const deep = `{"inputs":${'['.repeat(200_000)}${']'.repeat(200_000)}}`;
const deepShape = JSON.stringify(withInput({ shape: 'S' })).replace(
  '"S"',
  '['.repeat(200_000) + ']'.repeat(200_000),
);

/** What is sent, and the words that the error must contain. */
const REFUSED: Readonly<Record<string, readonly [body: unknown, code: string, words: string]>> = {
  'not JSON': ['{"inputs": [', 'INVALID_REQUEST', 'not JSON'],
  empty: ['', 'INVALID_REQUEST', 'empty'],
  'no object': [[1], 'INVALID_REQUEST', 'object'],
  'a null': ['null', 'INVALID_REQUEST', 'object'],
  'id of another type': [request([[1, 2, 3]], { id: 7 }), 'INVALID_REQUEST', 'id'],
  'parameters of another type': [request([[1, 2, 3]], { parameters: [] }), 'INVALID_REQUEST', 'parameters'],
  'unit of another type': [
    request([[1, 2, 3]], { parameters: { unit: {} } }),
    'INVALID_REQUEST',
    'parameters.unit',
  ],
  'no inputs': [{}, 'INVALID_TENSOR', 'inputs'],
  'inputs of another type': [{ inputs: {} }, 'INVALID_TENSOR', 'inputs'],
  'missing input': [{ inputs: [] }, 'INVALID_TENSOR', 'missing'],
  'unknown input': [withInput({ name: 'pixels' }), 'INVALID_TENSOR', 'pixels'],
  'duplicate input': [{ inputs: [good, good] }, 'INVALID_TENSOR', 'twice'],
  'input that is no object': [{ inputs: [3] }, 'INVALID_TENSOR', 'inputs[0]'],
  'wrong dtype': [withInput({ datatype: 'BYTES' }), 'INVALID_TENSOR', 'BYTES'],
  'unknown dtype': [withInput({ datatype: 'fp32' }), 'INVALID_TENSOR', 'fp32'],
  'no dtype': [withInput({ datatype: undefined }), 'INVALID_TENSOR', 'datatype'],
  'no shape': [withInput({ shape: undefined }), 'INVALID_TENSOR', 'shape'],
  'flat shape': [withInput({ shape: [3] }), 'INVALID_TENSOR', 'shape'],
  'zero rows': [withInput({ shape: [0, 3], data: [] }), 'INVALID_TENSOR', 'shape[0]'],
  'negative rows': [withInput({ shape: [-1, 3] }), 'INVALID_TENSOR', 'shape[0]'],
  'half a row': [withInput({ shape: [1.5, 3] }), 'INVALID_TENSOR', 'shape[0]'],
  'rows as text': [withInput({ shape: ['1', 3] }), 'INVALID_TENSOR', 'shape[0]'],
  'absurd rows': [withInput({ shape: [2 ** 60, 3] }), 'INVALID_TENSOR', 'shape[0]'],
  'other number of features': [
    withInput({ shape: [1, 4], data: [1, 2, 3, 4] }),
    'INVALID_TENSOR',
    'shape[1]',
  ],
  'too many rows': [
    request(Array.from({ length: 4097 }, () => [1, 2, 3])),
    'INVALID_TENSOR',
    'at most 4096 rows',
  ],
  'less data than the shape says': [withInput({ data: [1, 2] }), 'INVALID_TENSOR', 'data'],
  'more data than the shape says': [withInput({ data: [1, 2, 3, 4] }), 'INVALID_TENSOR', 'data'],
  'no data': [withInput({ data: undefined }), 'INVALID_TENSOR', 'data'],
  'short nested row': [withInput({ data: [[1, 2]] }), 'INVALID_TENSOR', 'data[0]'],
  'too few nested rows': [withInput({ shape: [2, 3], data: [[1, 2, 3]] }), 'INVALID_TENSOR', 'rows'],
  'mixed nesting': [withInput({ shape: [2, 3], data: [[1, 2, 3], 4] }), 'INVALID_TENSOR', 'data[1]'],
  'text for a number': [withInput({ data: [1, '2', 3] }), 'INVALID_TENSOR', 'beta'],
  'NaN as text': [withInput({ data: [1, 'NaN', 3] }), 'INVALID_TENSOR', 'beta'],
  null: [withInput({ data: [1, null, 3] }), 'INVALID_TENSOR', 'beta'],
  boolean: [withInput({ data: [true, 2, 3] }), 'INVALID_TENSOR', 'alpha'],
  'NaN, which is not JSON': [
    JSON.stringify(withInput({})).replace('[1,2,3]', '[1,NaN,3]'),
    'INVALID_REQUEST',
    'JSON',
  ],
  infinity: [JSON.stringify(withInput({})).replace('[1,2,3]', '[1,1e999,3]'), 'INVALID_TENSOR', 'beta'],
  'more than FP32 holds': [withInput({ data: [1, 1e39, 3] }), 'INVALID_TENSOR', 'beta'],
  'below the minimum': [withInput({ data: [-101, 2, 3] }), 'INVALID_TENSOR', 'alpha'],
  'above the maximum': [withInput({ data: [1, 2, 50.5] }), 'INVALID_TENSOR', 'gamma'],
  'unknown output': [request([[1, 2, 3]], { outputs: [{ name: 'logits' }] }), 'INVALID_TENSOR', 'logits'],
  'output asked for twice': [
    request([[1, 2, 3]], { outputs: [{ name: 'score' }, { name: 'score' }] }),
    'INVALID_TENSOR',
    'twice',
  ],
  'outputs of another type': [request([[1, 2, 3]], { outputs: 'score' }), 'INVALID_REQUEST', 'outputs'],
  'inputs nested 200,000 deep': [deep, 'INVALID_TENSOR', 'inputs[0]'],
  'a shape nested 200,000 deep': [deepShape, 'INVALID_TENSOR', 'shape'],
  'a prototype in disguise': ['{"__proto__":{"inputs":[]},"inputs":[]}', 'INVALID_TENSOR', 'missing'],
};

describe('gateway: bad input gets a named 4xx, and the next request works', () => {
  let fixture: GatewayFixture;
  let client: Client;

  before(async () => {
    fixture = await GatewayFixture.create();
    ({ client } = await fixture.startServing());
  });
  after(() => fixture.remove());
  afterEach(async () => {
    assert.equal((await client.predict()).status, 200, 'the next request works');
  });

  for (const [name, [body, code, words]] of Object.entries(REFUSED)) {
    it(name, async () => {
      const reply = await client.post(body);
      assert.equal(reply.status, 400);
      assert.deepEqual(Object.keys(reply.body).sort(), ['code', 'error', 'retryable']);
      assert.equal(reply.body.code, code);
      assert.equal(reply.body.retryable, false);
      assert.ok(reply.body.error.includes(words), reply.body.error);
    });
  }

  it('too large: 413, with an announced length and without', async () => {
    const large = `{"pad":"${'x'.repeat(9 * 1024 * 1024)}"}`;
    const announced = await client.post(large);
    assert.deepEqual([announced.status, announced.body.code], [413, 'BODY_TOO_LARGE']);
    const chunked = await client.send(`/v2/models/${ENDPOINT}/infer`, {
      method: 'POST',
      body: new Blob([large]).stream(),
      duplex: 'half',
    } as RequestInit);
    assert.deepEqual([chunked.status, chunked.body.code], [413, 'BODY_TOO_LARGE']);
  });

  it('another media type or encoding: 415', async () => {
    for (const headers of [
      { 'content-type': 'text/plain' },
      { 'content-type': 'application/json; charset=latin1' },
      { 'content-encoding': 'br' },
      { 'content-encoding': 'gzip, gzip' },
    ]) {
      const reply = await client.post(request([[1, 2, 3]]), { headers });
      assert.deepEqual(
        [reply.status, reply.body.code],
        [415, 'UNSUPPORTED_MEDIA_TYPE'],
        JSON.stringify(headers),
      );
    }
    const named = await client.post(request([[1, 2, 3]]), {
      headers: { 'content-type': 'application/json; charset=UTF-8' },
    });
    assert.equal(named.status, 200);
  });

  it('unknown model, version or path: 404', async () => {
    const headers = { 'content-type': 'application/json' };
    const init = { method: 'POST', headers, body: JSON.stringify(request([[1, 2, 3]])) };
    const cases: [string, RequestInit, string][] = [
      ['/v2/models/nobody/infer', init, 'MODEL_NOT_FOUND'],
      ['/v2/models/nobody', {}, 'MODEL_NOT_FOUND'],
      ['/v2/models/nobody/ready', {}, 'MODEL_NOT_FOUND'],
      [`/v2/models/${ENDPOINT}/versions/${'0'.repeat(64)}/infer`, init, 'VERSION_NOT_FOUND'],
      [`/v2/models/${ENDPOINT}/versions/${'0'.repeat(64)}`, {}, 'VERSION_NOT_FOUND'],
      [`/v2/models/${ENDPOINT}/versions//infer`, init, 'NOT_FOUND'],
      [`/v2/models/${ENDPOINT}/explain`, init, 'NOT_FOUND'],
      [`/v2/models/${ENDPOINT}/config`, {}, 'NOT_FOUND'],
      ['/v2/repository/models/toy', init, 'NOT_FOUND'],
      ['/v2/repository/models/toy/load/now', init, 'NOT_FOUND'],
      ['/v2/repository', {}, 'NOT_FOUND'],
      ['/v2/models/%E0%A4%A/infer', init, 'NOT_FOUND'],
      ['/v2/models/', {}, 'NOT_FOUND'],
      ['/v3', {}, 'NOT_FOUND'],
      ['/', {}, 'NOT_FOUND'],
    ];
    for (const [path, how, code] of cases) {
      const reply = await client.send(path, how);
      assert.deepEqual([reply.status, reply.body.code], [404, code], path);
    }
  });

  it('another method: 405 with the one that is allowed', async () => {
    const cases: [string, string, string][] = [
      [`/v2/models/${ENDPOINT}/infer`, 'GET', 'POST'],
      [`/v2/models/${ENDPOINT}`, 'DELETE', 'GET'],
      ['/v2/health/live', 'POST', 'GET'],
      ['/v2/models/stats', 'POST', 'GET'],
      [`/v2/models/${ENDPOINT}/stats`, 'POST', 'GET'],
      ['/v2/repository/index', 'GET', 'POST'],
      [`/v2/repository/models/${ENDPOINT}/load`, 'GET', 'POST'],
    ];
    for (const [path, method, allow] of cases) {
      const reply = await client.send(path, { method });
      assert.deepEqual([reply.status, reply.body.code], [405, 'METHOD_NOT_ALLOWED'], path);
      assert.equal(reply.headers.get('allow'), allow);
    }
  });

  it('a caller that leaves in the middle of its body costs nothing', async () => {
    const { hostname, port } = new URL(client.url);
    for (let i = 0; i < 20; i += 1) {
      const socket = connect(Number(port), hostname);
      socket.write(
        `POST /v2/models/${ENDPOINT}/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n{"inputs":`,
      );
      await new Promise((resolve) => setImmediate(resolve));
      socket.destroy();
    }
  });
});

import assert from 'node:assert/strict';
import { Agent, request as httpRequest } from 'node:http';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { deflateSync, gzipSync } from 'node:zlib';
import { after, before, describe, it } from 'mocha';
import { SlipwayError } from '../../domain/errors.ts';
import { inputContract } from '../../serving/protocol/input-contract.ts';
import type { InputContract } from '../../serving/protocol/input-contract.ts';
import { parseInferRequest } from '../../serving/protocol/infer-request.ts';
import { createRng } from '../support/rng.ts';
import type { Rng } from '../support/rng.ts';
import { ENDPOINT } from './control-plane.ts';
import { fuzzBody, KEYED_BODIES, PLAIN_BODIES } from './fuzz-bodies.ts';
import type { FuzzBody } from './fuzz-bodies.ts';
import { GatewayFixture } from './gateway-fixture.ts';
import type { Client } from './gateway-fixture.ts';

const SEED = 20_261;
const BODIES = 100_000;
const HTTP_BODIES = 6000;
const CONNECTIONS = 8;
/** Far more than a run of this size may leave behind, far less than a leak of one small object for each body. */
const MAX_GROWTH = 8 * 1024 * 1024;
const HTTP_GROWTH = 24 * 1024 * 1024;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function memory(): number {
  // What the first collection lets go of may hold what the second one frees.
  collect();
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

const shown = ({ body, headerLength }: FuzzBody, index: number): string =>
  `seed ${SEED}, body ${index}, header length ${headerLength}, base64 ${body.toString('base64').slice(0, 4000)}`;

/** What the rest of the gateway relies on. */
function checkAccepted(parsed: ReturnType<typeof parseInferRequest>, contract: InputContract): void {
  const { rows, features, keys, outputs, timeoutMicros, priority } = parsed;
  const columns = contract.names.length;
  assert.ok(Number.isInteger(rows) && rows >= 1 && rows <= contract.maxRows);
  assert.equal(features.length, rows * columns);
  for (const column of contract.supplied) {
    for (let row = 0; row < rows; row += 1) {
      const value = features[row * columns + column] as number;
      assert.ok(Number.isFinite(value));
      assert.ok(value >= Math.fround(contract.mins[column] as number));
      assert.ok(value <= Math.fround(contract.maxs[column] as number));
    }
  }
  assert.deepEqual([...(keys?.keys() ?? [])].sort(), [...contract.entities].sort());
  for (const list of keys?.values() ?? []) {
    assert.equal(list.length, rows);
    for (const key of list) assert.ok(key.isWellFormed() && !key.includes('\0'));
  }
  assert.ok(outputs.length >= 1 && outputs.length <= 2);
  assert.ok(Number.isSafeInteger(timeoutMicros) && timeoutMicros >= 0);
  assert.ok(Number.isSafeInteger(priority) && priority >= 0);
}

describe('fuzz: mutated bodies', function () {
  this.timeout(180_000);

  it(`the parser takes or refuses each of ${BODIES} by name, and keeps nothing`, () => {
    const rng = createRng(SEED);
    const features = [{ name: 'alpha', min: -100, max: 100 }, { name: 'beta' }, { name: 'gamma', max: 50 }];
    const online = features.map((feature) =>
      feature.name === 'beta' ? { ...feature, online: {} } : feature,
    );
    const plain = inputContract(features, 64);
    const keyed = inputContract(online, 64, [{ entity: 'customer' }]);
    const counts = { taken: 0, refused: 0 };
    const messages = new Set<string>();
    let before = 0;
    for (let index = 0; index < BODIES; index += 1) {
      if (index === BODIES / 5) before = memory();
      const isKeyed = rng.next() < 0.3;
      const contract = isKeyed ? keyed : plain;
      const sent = fuzzBody(isKeyed ? KEYED_BODIES : PLAIN_BODIES, rng);
      try {
        checkAccepted(parseInferRequest(sent.body, sent.headerLength, contract), contract);
        counts.taken += 1;
      } catch (error) {
        if (!(error instanceof SlipwayError) || error.status !== 400 || error.message.length > 1000) {
          throw new Error(`neither taken nor refused by name: ${shown(sent, index)}`, { cause: error });
        }
        counts.refused += 1;
        if (messages.size < 1000) messages.add(error.message.replaceAll(/\d+/g, '#').slice(0, 60));
      }
    }
    const growth = memory() - before;
    assert.ok(growth < MAX_GROWTH, `the heap grew by ${growth} bytes (seed ${SEED})`);
    // A mutation that always breaks the JSON, or never anything, would test one line of the parser.
    assert.ok(counts.taken > BODIES / 10 && counts.refused > BODIES / 3, JSON.stringify(counts));
    assert.ok(messages.size > 80, `only ${messages.size} kinds of refusal were met`);
  });
});

describe('fuzz: mutated bodies over HTTP', function () {
  this.timeout(180_000);
  let fixture: GatewayFixture;
  let client: Client;
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });

  before(async () => {
    fixture = await GatewayFixture.create();
    ({ client } = await fixture.startServing());
  });
  after(async () => {
    agent.destroy();
    await fixture.remove();
  });

  function post(
    { body, headerLength }: FuzzBody,
    rng: Rng,
  ): Promise<[status: number, body: Buffer, type: string]> {
    const headers: Record<string, string | number> = {};
    if (headerLength !== null) headers['inference-header-content-length'] = headerLength;
    if (rng.next() < 0.02) headers['inference-header-content-length'] = '12, -1';
    if (rng.next() < 0.5) headers['content-type'] = 'application/octet-stream';
    const packing = rng.next();
    if (packing < 0.1) headers['content-encoding'] = packing < 0.05 ? 'gzip' : 'deflate';
    const packed =
      packing < 0.03 ? gzipSync(body) : packing > 0.05 && packing < 0.08 ? deflateSync(body) : body;
    headers['content-length'] = packed.length;
    return new Promise((resolve, reject) => {
      const call = httpRequest(
        `${client.url}/v2/models/${ENDPOINT}/infer`,
        { agent, method: 'POST', headers },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () =>
            resolve([
              response.statusCode ?? 0,
              Buffer.concat(chunks),
              response.headers['content-type'] ?? '',
            ]),
          );
        },
      );
      call.on('error', reject);
      call.end(packed);
    });
  }

  it(`the gateway answers ${HTTP_BODIES} with 200 or a named 4xx, never a 5xx, and its memory stays flat`, async () => {
    const rng = createRng(SEED);
    const statuses = new Map<number, number>();
    const some = async (first: number, last: number): Promise<void> => {
      for (let index = first; index < last; index += 1) {
        const sent = fuzzBody(PLAIN_BODIES, rng);
        const [status, body, type] = await post(sent, rng);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        if (status === 200) continue;
        // On a busy machine a mutated `timeout` of a few microseconds is over before the model is asked.
        if (status === 504 && sent.body.includes('timeout')) continue;
        assert.ok(status >= 400 && status < 500, `status ${status}: ${shown(sent, index)}`);
        assert.equal(type, 'application/json', shown(sent, index));
        const refusal = JSON.parse(body.toString()) as object;
        assert.deepEqual(Object.keys(refusal).sort(), ['code', 'error', 'retryable']);
      }
    };
    const share = HTTP_BODIES / CONNECTIONS;
    const all = (): Promise<unknown> =>
      Promise.all(Array.from({ length: CONNECTIONS }, (_, i) => some(i * share, (i + 1) * share)));
    // The first requests make connections, buffers and compiled code that stay.
    await Promise.all(Array.from({ length: CONNECTIONS }, () => some(0, 50)));
    const before = memory();
    await all();
    const growth = memory() - before;
    assert.ok(growth < HTTP_GROWTH, `the heap grew by ${growth} bytes (seed ${SEED})`);
    assert.ok((statuses.get(200) ?? 0) > HTTP_BODIES / 20, JSON.stringify([...statuses]));
    assert.ok((statuses.get(400) ?? 0) > HTTP_BODIES / 3, JSON.stringify([...statuses]));
    assert.equal((await client.predict()).status, 200, 'the next request works');
  });
});

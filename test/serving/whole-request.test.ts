import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'mocha';
import { SlipwayError } from '../../domain/errors.ts';
import type { FeatureSpec } from '../../domain/manifest/model-manifest.ts';
import { SERVING_DEFAULTS } from '../../domain/manifest/serving-spec.ts';
import {
  endpointFolderName,
  listSegmentFiles,
  readSegments,
  valuesOf,
} from '../../platform/prediction-segments/index.ts';
import { startTelemetry } from '../../platform/telemetry/index.ts';
import type { OnlineStore } from '../../serving/features/index.ts';
import { createGatewayMetrics } from '../../serving/telemetry/otel-metrics.ts';
import { ENDPOINT } from './control-plane.ts';
import { GatewayFixture, eventually, linear, request } from './gateway-fixture.ts';

/** A store of one view over plain objects. */
class Store implements OnlineStore {
  readonly rows = new Map<string, { readonly gamma: number | null; readonly eventAtMs: number }>();
  down = false;
  reads = 0;

  read: OnlineStore['read'] = async (reads) => {
    this.reads += 1;
    if (this.down) throw new SlipwayError('UNAVAILABLE', 'the store is away');
    return Promise.resolve(
      reads.map(({ keys }) =>
        keys.map((key) => {
          const row = this.rows.get(key);
          return row === undefined ? null : { values: { gamma: row.gamma }, eventAtMs: row.eventAtMs };
        }),
      ),
    );
  };
  hottest: OnlineStore['hottest'] = () => Promise.resolve(['warm']);
  noteHeat: OnlineStore['noteHeat'] = () => Promise.resolve();
}

const scrape = async (url: string): Promise<string> => (await fetch(`${url}/metrics`)).text();

const FEATURES: readonly FeatureSpec[] = [
  { name: 'alpha' },
  { name: 'beta' },
  { name: 'gamma', online: { view: 'recent', feature: 'gamma', onMissing: 'default', default: 0 } },
];

function forCustomers(customers: readonly string[], row: readonly number[]): object {
  return {
    inputs: [
      {
        name: 'features',
        datatype: 'FP32',
        shape: [customers.length, 2],
        data: customers.flatMap(() => row),
      },
      { name: 'customer', datatype: 'BYTES', shape: [customers.length], data: customers },
    ],
  };
}

describe('gateway: online features', () => {
  const store = new Store();
  let fixture: GatewayFixture;
  let post: (body: object) => ReturnType<Awaited<ReturnType<GatewayFixture['start']>>['post']>;

  before(async () => {
    fixture = await GatewayFixture.create();
    store.rows.set('warm', { gamma: 2, eventAtMs: Date.now() });
    store.rows.set('ada', { gamma: 4, eventAtMs: Date.now() });
    store.rows.set('old', { gamma: 9, eventAtMs: Date.now() - 3_600_000 });
    const champion = await fixture.version('linear');
    fixture.control.route({
      champion,
      spec: { features: FEATURES, featureViews: [{ name: 'recent', entity: 'customer', ttlMs: 60_000 }] },
    });
    const client = await fixture.start({ onlineStore: store });
    await client.ready();
    post = (body) => client.post(body);
  });
  after(() => fixture.remove());

  it('are joined by the key that the request carries, and the model sees them in their column', async () => {
    const { status, body } = await post(forCustomers(['ada', 'warm'], [1, 2]));
    assert.equal(status, 200, JSON.stringify(body));
    const scores = body.outputs[1]?.data ?? [];
    assert.ok(Math.abs((scores[0] ?? NaN) - linear([1, 2, 4])) < 1e-6);
    assert.ok(Math.abs((scores[1] ?? NaN) - linear([1, 2, 2])) < 1e-6);
    assert.equal('feature_status' in body.parameters, false, 'all of them are there');
  });

  it('were warmed before the gateway said that it is ready', async () => {
    const before = store.reads;
    assert.equal((await post(forCustomers(['warm'], [1, 2]))).status, 200);
    assert.equal(store.reads, before);
  });

  it('say what is not there, beyond its time, or defaulted', async () => {
    const { body } = await post(forCustomers(['nobody', 'old', 'ada'], [1, 2]));
    const { feature_status: status } = body.parameters as { feature_status?: string };
    assert.equal(status, 'gamma=DEFAULTED:0.1');
    const scores = body.outputs[1]?.data ?? [];
    assert.ok(Math.abs((scores[1] ?? NaN) - linear([1, 2, 0])) < 1e-6, 'an old value is never served');
  });

  it('need their key, which the answer to a request without it says', async () => {
    const { status, body } = await post({
      inputs: [{ name: 'features', datatype: 'FP32', shape: [1, 2], data: [1, 2] }],
    });
    assert.equal(status, 400);
    assert.match(body.error, /customer/);
  });
});

describe('gateway: time', () => {
  it('is kept by defaults when the feature store hangs, and a deadline that makes no sense is refused', async () => {
    const fixture = await GatewayFixture.create();
    try {
      const slow = new Store();
      slow.read = () => new Promise(() => {});
      const champion = await fixture.version('linear');
      fixture.control.route({
        champion,
        spec: { features: FEATURES, featureViews: [{ name: 'recent', entity: 'customer', ttlMs: 60_000 }] },
      });
      const client = await fixture.start({ onlineStore: slow, features: { warmUpMs: 10 } });
      await client.ready();
      const body = forCustomers(['ada'], [1, 2]);
      const started = performance.now();
      const reply = await client.post({ ...body, parameters: { timeout: 20_000 } });
      const took = performance.now() - started;
      // Half of what is left is spent on waiting for features; then the default is scored in time.
      assert.equal(reply.status, 200, JSON.stringify(reply.body));
      assert.ok(took < 500, `${took} ms`);
      for (const wrong of ['0', '-1', 'soon']) {
        const { status, body: said } = await client.post(body, { headers: { 'x-deadline-ms': wrong } });
        assert.equal(status, 400);
        assert.match(said.error, /x-deadline-ms/);
      }
    } finally {
      await fixture.remove();
    }
  });
});

describe('gateway: the prediction log on disk', () => {
  it('holds answers and the allowed features, and nothing else of the input', async () => {
    const fixture = await GatewayFixture.create();
    const folder = join(fixture.home, 'predictions');
    const telemetry = startTelemetry({ service: 'test', otlpEndpoint: undefined, sampleRatio: 0 });
    try {
      const champion = await fixture.version('linear');
      fixture.control.route({
        champion,
        spec: { serving: { ...SERVING_DEFAULTS, log: { features: ['beta'] } } },
      });
      const metrics = createGatewayMetrics(telemetry);
      const client = await fixture.start({ predictionLog: { folder, maxBytes: 1e9 }, metrics });
      await client.ready();
      const planted = 47.125;
      const ids: string[] = [];
      for (let i = 0; i < 5; i += 1) {
        const { body } = await client.post(request([[planted, i, planted]]));
        ids.push(body.parameters.prediction_id);
      }
      await eventually(async () => (await scrape(client.url)).includes('prediction_log_rows_total'), 'log');
      const text = await scrape(client.url);
      for (const metric of ['batch_rows_bucket', 'dispatches_total', 'event_loop_utilization', 'limit']) {
        assert.ok(text.includes(`slipway_gateway_${metric}`), metric);
      }
      const files = (await listSegmentFiles(join(folder, endpointFolderName(ENDPOINT)))).map(
        ({ path }) => path,
      );
      const rows: unknown[][] = [];
      for await (const block of readSegments(files)) {
        const names = block.schema.columns.map(({ name }) => name);
        assert.ok(names.includes('beta') && !names.includes('alpha') && !names.includes('gamma'));
        const column = (name: string): readonly unknown[] => valuesOf(block, names.indexOf(name));
        const betas = column('beta');
        column('prediction_id').forEach((id, row) => rows.push([id, betas[row]]));
      }
      assert.deepEqual(
        rows,
        ids.map((id, i) => [id, i]),
      );
      const value = Buffer.from(new Float32Array([planted]).buffer);
      for (const file of files) assert.equal((await readFile(file)).includes(value), false);
    } finally {
      await fixture.remove();
      await telemetry.shutdown();
    }
  });
});

describe('gateway: model control', () => {
  it('unloads and loads an endpoint when the operator allows it, and is listed as an extension only then', async () => {
    const fixture = await GatewayFixture.create();
    try {
      const { client } = await fixture.startServing({ modelControl: true });
      const control = (what: string): Promise<{ status: number }> =>
        client.send(`/v2/repository/models/${ENDPOINT}/${what}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: '{}',
        });
      const { body } = await client.send('/v2');
      assert.ok((body as unknown as { extensions: string[] }).extensions.includes('model_repository'));
      assert.equal((await control('unload')).status, 200);
      assert.deepEqual(
        [(await client.predict()).status, (await client.predict()).body.code],
        [503, 'MODEL_NOT_READY'],
      );
      assert.equal((await control('load')).status, 200);
      assert.equal((await client.predict()).status, 200);
      assert.equal((await client.send('/v2/repository/models/nobody/load', { method: 'POST' })).status, 404);
    } finally {
      await fixture.remove();
    }
  });
});

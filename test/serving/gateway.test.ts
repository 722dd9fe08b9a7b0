import assert from 'node:assert/strict';
import { after, before, describe, it } from 'mocha';
import { ENDPOINT } from './control-plane.ts';
import { NO_SPAN, NO_TRACER } from '../../serving/tracing.ts';
import { GatewayFixture, linear, request } from './gateway-fixture.ts';
import type { Client, ReplyTensor } from './gateway-fixture.ts';
import type { VersionDescriptor } from '../../domain/registry/index.ts';

describe('gateway: answers over V2 REST', () => {
  let fixture: GatewayFixture;
  let client: Client;
  let champion: VersionDescriptor;

  before(async () => {
    fixture = await GatewayFixture.create();
    ({ client, champion } = await fixture.startServing());
  });
  after(() => fixture.remove());

  it('gives the model’s own scores, with version, arm, generation and prediction id in body and headers', async () => {
    const rows = [
      [1, 2, 3],
      [-4, 0.5, 0],
    ];
    const { status, headers, body } = await client.post(request(rows, { id: 'r-1' }));
    assert.equal(status, 200);
    assert.equal(body.model_name, ENDPOINT);
    assert.equal(body.model_version, champion.digest);
    assert.equal(body.id, 'r-1');
    const [label, score] = body.outputs as [ReplyTensor, ReplyTensor];
    assert.deepEqual([label.name, label.datatype, label.shape], ['label', 'INT64', [2]]);
    assert.deepEqual([score.name, score.datatype, score.shape], ['score', 'FP32', [2]]);
    for (const [i, row] of rows.entries()) {
      assert.ok(Math.abs((score.data[i] ?? NaN) - linear(row)) < 1e-6);
      assert.equal(label.data[i], linear(row) >= 0.5 ? 1 : 0);
      assert.ok(String(score.data[i]).length <= 12, 'no digits that a float32 does not have');
    }
    assert.deepEqual(Object.keys(body.parameters), ['prediction_id', 'arm', 'generation']);
    assert.equal(headers.get('x-slipway-version'), champion.digest);
    assert.equal(headers.get('x-slipway-arm'), 'champion');
    assert.equal(headers.get('x-slipway-arm'), body.parameters.arm);
    assert.equal(headers.get('x-slipway-generation'), String(body.parameters.generation));
    assert.equal(headers.get('x-slipway-prediction-id'), body.parameters.prediction_id);
  });

  it('takes nested data, leaves out what was not asked for, and has no id when there was none', async () => {
    const nested = request([[1, 2, 3]], { outputs: [{ name: 'score' }] }) as { inputs: { data: unknown }[] };
    nested.inputs[0]!.data = [[1, 2, 3]];
    const { body } = await client.post(nested);
    assert.equal(body.outputs.length, 1);
    assert.equal(body.outputs[0]?.name, 'score');
    assert.equal('id' in body, false);
  });

  it('answers a named version by digest or by 12 or more of its characters, and only loaded ones', async () => {
    const hex = champion.digest.slice('sha256:'.length);
    for (const version of [champion.digest, hex, hex.slice(0, 12)]) {
      const { status, body } = await client.post(request([[1, 2, 3]]), { version });
      assert.equal(status, 200);
      assert.equal(body.parameters.arm, 'pinned');
    }
    for (const version of [hex.slice(0, 11), `${hex.slice(0, 12)}0`, '0'.repeat(64)]) {
      const { status, body } = await client.post(request([[1, 2, 3]]), { version });
      assert.equal(status, 404);
      assert.equal(body.code, 'VERSION_NOT_FOUND');
    }
  });

  it('describes server, model and version, and says that it lives and is ready', async () => {
    assert.deepEqual((await client.send('/v2')).body, {
      name: 'slipway',
      version: '0.0.0',
      extensions: ['binary_tensor_data', 'statistics'],
    });
    const expected = {
      name: ENDPOINT,
      versions: [champion.digest],
      platform: 'onnx_onnxv1',
      inputs: [
        {
          name: 'features',
          datatype: 'FP32',
          shape: [-1, 3],
          parameters: { features: ['alpha', 'beta', 'gamma'] },
        },
      ],
      outputs: [
        { name: 'label', datatype: 'INT64', shape: [-1] },
        { name: 'score', datatype: 'FP32', shape: [-1] },
      ],
    };
    assert.deepEqual((await client.send(`/v2/models/${ENDPOINT}`)).body, expected);
    assert.deepEqual(
      (await client.send(`/v2/models/${ENDPOINT}/versions/${champion.digest}`)).body,
      expected,
    );
    for (const path of ['/v2/health/live', '/v2/health/ready', '/health/live', '/health/ready', '/metrics']) {
      assert.equal((await client.send(path)).status, 200, path);
    }
    const ready = await client.send(`/v2/models/${ENDPOINT}/ready`);
    assert.deepEqual([ready.status, ready.body], [200, { name: ENDPOINT, ready: true }]);
    assert.equal((await client.send(`/v2/models/${ENDPOINT}/versions/${champion.digest}/ready`)).status, 200);
  });

  it('hands each trace on to the tracer and ends each span once', async () => {
    const other = await GatewayFixture.create();
    try {
      const spans: unknown[] = [];
      const traced = await other.startServing({
        tracer: {
          ...NO_TRACER,
          begin: (traceparent) => ({
            ...NO_SPAN,
            routed: (endpoint, _version, arm) => spans.push([traceparent, endpoint, arm]),
            end: (code) => spans.push(code),
          }),
        },
      });
      const traceparent = `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`;
      await traced.client.post(request([[1, 2, 3]]), { headers: { traceparent } });
      await traced.client.post('not json', { headers: { traceparent } });
      assert.deepEqual(spans, [[traceparent, ENDPOINT, 'champion'], undefined, 'INVALID_REQUEST']);
    } finally {
      await other.remove();
    }
  });
});

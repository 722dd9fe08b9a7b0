import assert from 'node:assert/strict';
import { context, propagation, trace } from '@opentelemetry/api';
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { SERVING_DEFAULTS } from '../../../domain/manifest/serving-spec.ts';
import type { VersionDescriptor } from '../../../domain/registry/index.ts';
import type { GatewayOptions } from '../../../serving/gateway.ts';
import type { OnlineStore } from '../../../serving/features/index.ts';
import { NO_METRICS } from '../../../serving/metrics.ts';
import type { EndpointSpec } from '../../../serving/ports.ts';
import { createGatewayTracer } from '../../../serving/telemetry/otel-tracer.ts';
import { ENDPOINT, SPEC } from '../control-plane.ts';
import { GatewayFixture, eventually, linear } from '../gateway-fixture.ts';
import type { Client, ModelName, Reply } from '../gateway-fixture.ts';
import { RemoteStub } from './remote-stub.ts';

const MODEL = `${ENDPOINT}-{version}`;

describe('a model that runs in another server', () => {
  let fixture: GatewayFixture;
  let others: GatewayFixture[] = [];
  let placements: string[] = [];

  beforeEach(async () => {
    fixture = await GatewayFixture.create();
    others = [];
    placements = [];
  });
  afterEach(async () => {
    await fixture.remove();
    for (const other of others) await other.remove();
  });

  /** A whole gateway of its own that serves `model` under the name that the version has there. */
  async function downstream(
    names: VersionDescriptor,
    model: ModelName,
    changes: Partial<GatewayOptions> = {},
  ): Promise<Client> {
    const other = await GatewayFixture.create();
    others.push(other);
    const endpoint = MODEL.replace('{version}', names.digest.slice(7, 19));
    other.control.route({ champion: await other.version(model, { endpoint }) });
    const { state } = other.control;
    assert.ok(state !== null);
    const { route, spec } = state;
    other.control.state = { ...state, route: { ...route, endpoint }, spec: { ...spec, endpoint } };
    const client = await other.start(changes);
    await client.ready();
    return client;
  }

  const backend = (url: string): { spec: EndpointSpec } => ({
    spec: { ...SPEC, serving: { ...SERVING_DEFAULTS, backend: { kind: 'remote', url, model: MODEL } } },
  });

  function start(changes: Partial<GatewayOptions> = {}): Promise<Client> {
    const metrics = {
      ...NO_METRICS,
      modelLoaded: (_endpoint: string, _version: string, placement: string) =>
        void placements.push(placement),
    };
    // One batch at a time, so that requests that come together share some.
    const settings = { remote: { readyWithinMs: 0, concurrency: 1 } };
    return fixture.start({ metrics, ...changes, settings: { ...settings, ...changes.settings } });
  }

  const refusalOf = (digest: string): { code: string; message: string } | null => {
    const state = fixture.control.lastAck?.versions[digest];
    return state?.state === 'refused' ? state : null;
  };

  async function refused(digest: string): Promise<{ code: string; message: string }> {
    await eventually(() => refusalOf(digest) !== null, 'the version is refused');
    return refusalOf(digest)!;
  }

  const scoreOf = ({ status, body }: Reply): number => {
    assert.equal(status, 200, JSON.stringify(body));
    return body.outputs[1]?.data[0] ?? NaN;
  };

  it('answers through the same routing what the signed model answers, batched to the server', async () => {
    const champion = await fixture.version('linear');
    const far = await downstream(champion, 'linear');
    fixture.control.route({ champion, ...backend(far.url) });
    const client = await start();
    await client.ready();
    assert.deepEqual(placements, ['remote']);
    const replies = await Promise.all(
      Array.from({ length: 40 }, (_, i) => client.predict([i, 1, 2]).then((reply) => ({ i, reply }))),
    );
    for (const { i, reply } of replies) {
      assert.ok(Math.abs(scoreOf(reply) - linear([i, 1, 2])) < 1e-6);
      assert.equal(reply.body.model_version, champion.digest);
      assert.equal(reply.body.parameters.arm, 'champion');
    }
    // 40 requests at once were fewer runs there than requests.
    const stats = await client.send(`/v2/models/${ENDPOINT}/stats`);
    const [mine] = (
      stats.body as unknown as { model_stats: { inference_count: number; execution_count: number }[] }
    ).model_stats;
    assert.equal(mine?.inference_count, 40);
    assert.ok((mine?.execution_count ?? 40) < 40, `${mine?.execution_count} runs`);
  });

  it('refuses the version when the server runs another model under its name', async () => {
    const champion = await fixture.version('linear');
    const far = await downstream(champion, 'shifted');
    fixture.control.route({ champion, ...backend(far.url) });
    const client = await start();
    const { code, message } = await refused(champion.digest);
    assert.equal(code, 'MODEL_LOAD_FAILED');
    assert.match(
      message,
      /is not the one that was signed: the score of sample row 0 is 0\.8\d+ there and 0\.5\d+ here/,
    );
    assert.equal((await client.predict()).status, 503);
  });

  it('asks nothing of the server for a version that does not verify', async () => {
    const stub = await RemoteStub.start();
    try {
      const champion = await fixture.version('linear');
      fixture.control.revocations.digests.push(champion.digest);
      fixture.control.route({ champion, ...backend(stub.url) });
      await start();
      assert.equal((await refused(champion.digest)).code, 'VERSION_REVOKED');
      assert.deepEqual(stub.paths, []);
    } finally {
      await stub.close();
    }
  });

  it('runs champion and candidate as two models there', async () => {
    const stub = await RemoteStub.start();
    try {
      const champion = await fixture.version('linear');
      const candidate = await fixture.version('linear', { note: 'another version' });
      fixture.control.route({
        champion,
        candidate: { version: candidate, weightBp: 5000 },
        ...backend(stub.url),
      });
      const client = await start();
      await client.ready();
      await eventually(
        () => fixture.control.lastAck?.versions[candidate.digest]?.state === 'ready',
        'the candidate is ready',
      );
      stub.calls.length = 0;
      for (let user = 0; user < 30; user += 1) {
        const reply = await client.predict([1, 2, 3], `user-${user}`);
        const model = `${ENDPOINT}-${reply.body.model_version.slice(7, 19)}`;
        assert.equal(stub.calls.at(-1)?.model, model);
      }
      assert.equal(new Set(stub.calls.map(({ model }) => model)).size, 2);
    } finally {
      await stub.close();
    }
  });

  it('answers 503 while the server is away, counts it against the arm, and goes on once it is back', async () => {
    const stub = await RemoteStub.start();
    try {
      const champion = await fixture.version('linear');
      fixture.control.route({ champion, ...backend(stub.url) });
      const client = await start();
      await client.ready();
      stub.onInfer = ({ response }) => (stub.sendJson(response, {}, 503), true);
      const away = await client.predict();
      assert.deepEqual([away.status, away.body.code, away.body.retryable], [503, 'REMOTE_UNAVAILABLE', true]);
      await eventually(() => fixture.control.sum('champion', 'errors') === 1, 'the error is counted');
      stub.onInfer = () => false;
      assert.ok(Math.abs(scoreOf(await client.predict()) - linear([1, 2, 3])) < 1e-6);
      stub.onInfer = (call) => (stub.sendBinary(call, { scores: [NaN] }), true);
      assert.equal((await client.predict()).status, 500);
      await eventually(
        () => fixture.control.sum('champion', 'invalid') === 1,
        'the invalid score is counted',
      );
    } finally {
      await stub.close();
    }
  });

  it('refuses a version whose model was swapped behind its back', async () => {
    const stub = await RemoteStub.start();
    try {
      const champion = await fixture.version('linear');
      fixture.control.route({ champion, ...backend(stub.url) });
      const client = await start();
      await client.ready();
      stub.bias = 0.2;
      stub.modelVersion = '2';
      await client.predict();
      const { code, message } = await refused(champion.digest);
      assert.equal(code, 'MODEL_LOAD_FAILED');
      assert.match(message, /is not the one that was signed/);
      assert.equal((await client.predict()).body.code, 'REMOTE_UNAVAILABLE');
    } finally {
      await stub.close();
    }
  });

  it('moves to the server and back when the manifest says so, without a failed request', async () => {
    const champion = await fixture.version('linear');
    const far = await downstream(champion, 'linear');
    fixture.control.route({ champion });
    const client = await start();
    await client.ready();
    let failed = 0;
    const stop = new AbortController();
    const load = (async () => {
      while (!stop.signal.aborted) if ((await client.predict()).status !== 200) failed += 1;
    })();
    fixture.control.route({ champion, ...backend(far.url) });
    await eventually(() => placements.at(-1) === 'remote', 'it runs there');
    fixture.control.route({ champion });
    await eventually(() => placements.length === 3, 'it runs here again');
    stop.abort();
    await load;
    assert.notEqual(placements.at(-1), 'remote');
    assert.equal(failed, 0);
  });

  it('is seen as one trace: each request with its stages, a batch linked to all its requests, and the server below', async () => {
    const exporter = new InMemorySpanExporter();
    const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
    provider.register();
    try {
      const champion = await fixture.version('linear');
      const far = await downstream(champion, 'linear', {
        tracer: createGatewayTracer(provider.getTracer('far')),
      });
      const [alpha, beta] = SPEC.features;
      assert.ok(alpha !== undefined && beta !== undefined);
      const online = { view: 'weather', feature: 'wind', onMissing: 'fail' } as const;
      const { spec } = backend(far.url);
      fixture.control.route({
        champion,
        spec: {
          ...spec,
          features: [alpha, beta, { name: 'gamma', online }],
          featureViews: [{ name: 'weather', entity: 'region', ttlMs: 60_000 }],
        },
      });
      const onlineStore: OnlineStore = {
        read: (reads) =>
          Promise.resolve(
            reads.map(({ keys }) => keys.map(() => ({ eventAtMs: Date.now(), values: { wind: 3 } }))),
          ),
        hottest: () => Promise.resolve([]),
        noteHeat: () => Promise.resolve(),
      };
      const client = await start({ onlineStore, tracer: createGatewayTracer(provider.getTracer('near')) });
      await client.ready();
      await provider.forceFlush();
      exporter.reset();
      const body = {
        inputs: [
          { name: 'features', datatype: 'FP32', shape: [1, 2], data: [1, 2] },
          { name: 'region', datatype: 'BYTES', shape: [1], data: ['nsw'] },
        ],
      };
      const traces = Array.from({ length: 12 }, (_, i) => (i + 1).toString(16).padStart(32, '0'));
      const replies = await Promise.all(
        traces.map((id) => client.post(body, { headers: { traceparent: `00-${id}-${'2'.repeat(16)}-01` } })),
      );
      for (const reply of replies) assert.ok(Math.abs(scoreOf(reply) - linear([1, 2, 3])) < 1e-6);
      const spans = exporter.getFinishedSpans();
      const near = spans.filter(({ instrumentationScope: { name } }) => name === 'near');
      const requests = near.filter(({ name }) => name === 'infer');
      assert.deepEqual(requests.map((span) => span.spanContext().traceId).toSorted(), traces);
      for (const span of requests) {
        const { spanId } = span.spanContext();
        const stages = near.filter(({ parentSpanContext }) => parentSpanContext?.spanId === spanId);
        const names = stages.map(({ name }) => name).filter((name) => name !== 'batch');
        assert.deepEqual(names.toSorted(), ['features', 'inference', 'queue']);
      }
      const batches = near.filter(({ name }) => name === 'batch');
      assert.ok(batches.length < 12 && batches.length > 0, `${batches.length} batches`);
      const linked = batches.flatMap(({ links }) => links.map((link) => link.context.spanId));
      assert.deepEqual(linked.toSorted(), requests.map((span) => span.spanContext().spanId).toSorted());
      const below = spans.filter(
        ({ name, instrumentationScope: scope }) => scope.name === 'far' && name === 'infer',
      );
      const childrenOf = below.map((span) => [span.spanContext().traceId, span.parentSpanContext?.spanId]);
      const parents = batches.map((span) => [span.spanContext().traceId, span.spanContext().spanId]);
      assert.deepEqual(childrenOf.map(String).toSorted(), parents.map(String).toSorted());
      for (const { links, attributes } of batches)
        assert.equal(attributes['slipway.batch.requests'], links.length);
    } finally {
      await provider.shutdown();
      for (const api of [trace, context, propagation]) api.disable();
    }
  });
});

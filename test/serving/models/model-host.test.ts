import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'mocha';
import type { VersionDescriptor } from '../../../domain/registry/index.ts';
import { NO_LOG } from '../../../serving/log.ts';
import { NO_METRICS } from '../../../serving/metrics.ts';
import type { Placement } from '../../../serving/metrics.ts';
import type { LoadRequest } from '../../../serving/models/load-model.ts';
import { ModelHost } from '../../../serving/models/model-host.ts';
import { FakeSession } from '../batching/fake-session.ts';
import { ENDPOINT, SPEC } from '../control-plane.ts';
import { GatewayFixture } from '../gateway-fixture.ts';

/** What a session of the test costs for each run; the host decides by what it learns from it. */
class PricedSession extends FakeSession {
  readonly #price: () => number;

  constructor(placement: Placement, price: () => number) {
    super({ placement });
    this.#price = price;
  }

  override async run(features: Float32Array, rows: number): ReturnType<FakeSession['run']> {
    const running = super.run(features, rows);
    this.runs.at(-1)!.end(this.#price());
    return running;
  }
}

describe('model host', () => {
  let fixture: GatewayFixture;
  let host: ModelHost;
  let descriptor: VersionDescriptor;
  let now = 0;
  let price = 0.05;
  let requests: LoadRequest[] = [];
  let sessions: PricedSession[] = [];

  beforeEach(async () => {
    fixture = await GatewayFixture.create();
    descriptor = await fixture.version('linear');
    now = 0;
    price = 0.05;
    requests = [];
    sessions = [];
    host = new ModelHost(SPEC, {
      clock: { now: () => now, monotonic: () => now },
      metrics: NO_METRICS,
      log: NO_LOG,
      onChange: () => {},
      placement: { inlineRunMs: 0.3, restMs: 60_000 },
      load: (request) => {
        requests.push(request);
        const session = new PricedSession(request.isolate || price > 0.3 ? 'worker' : 'inline', () => price);
        sessions.push(session);
        const samples = [1, 8, 64, 1, 8, 64, 1, 8, 64].map((rows) => ({ rows, ms: price }));
        return Promise.resolve({ session, cheap: true, quickToCreate: true, samples, noiseFloor: 1e-7 });
      },
    });
  });
  afterEach(async () => {
    await host.close();
    await fixture.remove();
  });

  async function look(champion: boolean, seconds = 1): Promise<Placement | undefined> {
    now += seconds * 1000;
    host.want([{ descriptor, champion }]);
    for (let i = 0; i < 5; i += 1) await new Promise((resolve) => setImmediate(resolve));
    return host.session(descriptor.digest)?.placement;
  }

  async function serve(batches: number): Promise<void> {
    for (let i = 0; i < batches; i += 1) await host.session(descriptor.digest)!.run(new Float32Array(1), 1);
  }

  it('keeps a candidate in a thread whatever it costs, and moves it to the event loop once it is the champion', async () => {
    assert.equal(await look(false), 'worker');
    await serve(50);
    assert.equal(await look(false, 1000), 'worker');
    const batcher = host.session(descriptor.digest);
    assert.equal(await look(true), 'inline');
    assert.equal(host.session(descriptor.digest), batcher, 'routes go on pointing to the same batcher');
    assert.deepEqual(
      requests.map(({ isolate }) => isolate),
      [true, false],
    );
    assert.equal(sessions[0]!.retired, 1);
    assert.equal(batcher?.noiseFloor, 1e-7);
  });

  it('moves a champion that became dear into a thread, and back when it is cheap again, without flapping', async () => {
    assert.equal(await look(true), 'inline');
    // Above the limit, but not twice: it stays.
    price = 0.5;
    await serve(800);
    for (let i = 0; i < 5; i += 1) assert.equal(await look(true, 100), 'inline');
    price = 1;
    await serve(1200);
    assert.equal(await look(true), 'inline', 'one look is not enough');
    assert.equal(await look(true), 'worker');
    // Below twice the limit, above the limit: it stays where it is.
    price = 0.5;
    await serve(1200);
    assert.equal(await look(true, 100), 'worker');
    price = 0.05;
    await serve(2000);
    assert.equal(await look(true, 1), 'inline');
    // The rest between two moves.
    price = 1;
    await serve(1200);
    for (let i = 0; i < 10; i += 1) assert.equal(await look(true, 2), 'inline');
    assert.equal(await look(true, 60), 'worker');
    assert.equal(requests.length, 4, 'a load for each move and no more');
  }).timeout(20_000);

  it('keeps the counts and the learned cost of a version whose thread was lost', async () => {
    await look(false);
    await serve(20);
    const { statistics, cost } = host.session(descriptor.digest)!;
    requests[0]!.onLost('its thread ended');
    assert.equal(host.session(descriptor.digest), null);
    assert.equal(host.statistics(descriptor.digest), statistics);
    assert.equal(await look(false, 5), 'worker');
    assert.equal(host.session(descriptor.digest)!.cost, cost);
    await serve(1);
    assert.equal(statistics.executionCount, 21);
  });

  it('ignores the end of a thread that was replaced already', async () => {
    await look(false);
    await look(true);
    requests[0]!.onLost('its thread ended');
    assert.equal(host.session(descriptor.digest)?.placement, 'inline');
  });

  it('follows the largest batch of a changed contract', async () => {
    await look(true);
    host.follow({ ...SPEC, serving: { ...SPEC.serving, maxBatchRows: 3 } });
    assert.equal(host.session(descriptor.digest)!.capRows, 3);
    assert.equal(SPEC.endpoint, ENDPOINT);
  });
});

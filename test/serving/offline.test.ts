import assert from 'node:assert/strict';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { routeFilePath } from '../../serving/route-file.ts';
import { GatewayFixture, eventually } from './gateway-fixture.ts';

describe('gateway: without the control plane', () => {
  let fixture: GatewayFixture;

  beforeEach(async () => {
    fixture = await GatewayFixture.create();
  });
  afterEach(() => fixture.remove());

  it('starts and serves the last good route from disk, gives a candidate nothing, and follows again later', async () => {
    const { control } = fixture;
    const { client: first, champion } = await fixture.startServing();
    const candidate = await fixture.version('shifted');
    control.route({ champion, candidate: { version: candidate, weightBp: 10_000 } });
    await eventually(
      async () => (await first.predict()).headers.get('x-slipway-arm') === 'canary',
      'the canary answers',
    );
    await first.gateway.close();
    control.down = true;
    const second = await fixture.start();
    await second.ready();
    for (let i = 0; i < 10; i += 1) {
      const { status, headers } = await second.predict();
      assert.deepEqual([status, headers.get('x-slipway-arm')], [200, 'champion']);
      assert.equal(headers.get('x-slipway-generation'), '2');
    }
    control.down = false;
    await eventually(
      async () => (await second.predict()).headers.get('x-slipway-arm') === 'canary',
      'it follows again',
    );
  });

  it('keeps answering through an outage, and its evidence arrives afterwards', async () => {
    const { control } = fixture;
    const { client } = await fixture.startServing();
    control.down = true;
    for (let i = 0; i < 50; i += 1) assert.equal((await client.predict()).status, 200);
    control.down = false;
    await eventually(() => control.sum('champion', 'requests') === 50, 'the evidence arrives');
  });

  it('verifies what it starts from: bytes that were changed meanwhile are refused', async () => {
    const { client, champion } = await fixture.startServing();
    await eventually(async () => (await savedRoutes(fixture)).includes(champion.digest), 'saved');
    await client.gateway.close();
    const model = fixture.blobs.pathOf(champion.files[0]!.digest);
    const bytes = await readFile(model);
    bytes[20]! ^= 1;
    await chmod(model, 0o644);
    await writeFile(model, bytes);
    fixture.control.down = true;
    const second = await fixture.start();
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(second.gateway.isReady(), false);
    assert.equal((await second.predict()).body.code, 'MODEL_NOT_READY');
  });

  it('starts without routes from a file that is damaged, and waits for the control plane', async () => {
    const { client, champion } = await fixture.startServing();
    await eventually(async () => (await savedRoutes(fixture)).includes(champion.digest), 'saved');
    await client.gateway.close();
    await writeFile(routeFilePath(join(fixture.home, 'gateways'), 'host:1'), '{"format":1,"endpo');
    fixture.control.down = true;
    const second = await fixture.start();
    assert.equal(second.gateway.isReady(), false);
    fixture.control.down = false;
    await second.ready();
    assert.equal((await second.predict()).status, 200);
  });

  it('is ready with nothing to serve once it knows that there is nothing', async () => {
    fixture.control.down = true;
    const client = await fixture.start();
    assert.equal((await client.send('/health/ready')).status, 503);
    fixture.control.down = false;
    await client.ready();
    assert.equal((await client.send('/health/ready')).status, 200);
  });
});

async function savedRoutes(fixture: GatewayFixture): Promise<string> {
  return readFile(routeFilePath(join(fixture.home, 'gateways'), 'host:1'), 'utf8').catch(() => '');
}

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { GatewayFixture, eventually } from './gateway-fixture.ts';
import type { Client } from './gateway-fixture.ts';
import type { VersionDescriptor } from '../../domain/registry/index.ts';

describe('gateway: the lease of a candidate', () => {
  let fixture: GatewayFixture;
  let client: Client;
  let champion: VersionDescriptor;
  let candidate: VersionDescriptor;

  beforeEach(async () => {
    fixture = await GatewayFixture.create();
    ({ client, champion } = await fixture.startServing());
    candidate = await fixture.version('shifted');
  });
  afterEach(() => fixture.remove());

  const arm = async (): Promise<string | null> => (await client.predict()).headers.get('x-slipway-arm');

  for (const [name, lose] of [
    ['the database goes away', () => (fixture.control.down = true)],
    ['nobody renews it', () => (fixture.control.renews = false)],
  ] as const) {
    it(`returns all traffic to the champion within 250 ms of its end when ${name}, without a failed request`, async () => {
      const { control } = fixture;
      const leaseMs = 600;
      control.route({ champion, candidate: { version: candidate, weightBp: 10_000, leaseMs } });
      await eventually(async () => (await arm()) === 'canary', 'the canary answers');
      lose();
      const lost = performance.now();
      let lastCanary = lost;
      while (performance.now() < lost + leaseMs + 400) {
        const { status, headers } = await client.predict();
        assert.equal(status, 200);
        if (headers.get('x-slipway-arm') === 'canary') lastCanary = performance.now();
      }
      assert.ok(
        lastCanary < lost + leaseMs + 250,
        `the canary answered ${lastCanary - lost} ms after the loss`,
      );
      assert.equal(await arm(), 'champion');
    });
  }

  it('is prolonged by each renewal that is read', async () => {
    const { control } = fixture;
    control.route({ champion, candidate: { version: candidate, weightBp: 10_000, leaseMs: 300 } });
    await eventually(async () => (await arm()) === 'canary', 'the canary answers');
    const end = performance.now() + 900;
    while (performance.now() < end) assert.equal(await arm(), 'canary');
  });

  it('is never longer than the route says, whatever remaining time is read', async () => {
    const { control } = fixture;
    control.route({
      champion,
      candidate: { version: candidate, weightBp: 10_000, leaseMs: 200 },
      leaseRemainingMs: 3_600_000,
    });
    await eventually(async () => (await arm()) === 'canary', 'the canary answers');
    control.down = true;
    await eventually(async () => (await arm()) === 'champion', 'the lease ends', 700);
  });

  it('comes back with a renewed lease', async () => {
    const { control } = fixture;
    control.route({ champion, candidate: { version: candidate, weightBp: 10_000, leaseMs: 200 } });
    await eventually(async () => (await arm()) === 'canary', 'the canary answers');
    control.down = true;
    await eventually(async () => (await arm()) === 'champion', 'the lease ends');
    control.down = false;
    await eventually(async () => (await arm()) === 'canary', 'the canary answers again');
  });
});

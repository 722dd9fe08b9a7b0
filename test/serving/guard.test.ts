import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { GatewayFixture, eventually } from './gateway-fixture.ts';
import type { Client } from './gateway-fixture.ts';
import type { VersionDescriptor } from '../../domain/registry/index.ts';

/** The fixture model fails from 10 on; the NaN model below 0. */
const BREAKS = [10, 0, 0];
const NAN = [-1, 0, 0];

describe('gateway: guard', () => {
  let fixture: GatewayFixture;
  let client: Client;
  let champion: VersionDescriptor;

  beforeEach(async () => {
    fixture = await GatewayFixture.create();
    ({ client, champion } = await fixture.startServing());
  });
  afterEach(() => fixture.remove());

  const canary = async (version: VersionDescriptor, more: object = {}): Promise<number> => {
    const generation = fixture.control.route({ champion, candidate: { version, weightBp: 10_000, ...more } });
    await eventually(
      async () => (await client.predict()).headers.get('x-slipway-arm') === 'canary',
      'the canary answers',
    );
    return generation;
  };

  it('takes a broken candidate out by its fifth failure, without asking anyone, and reports it', async () => {
    const { control } = fixture;
    const version = await fixture.version('fails-on-some');
    const generation = await canary(version);
    control.down = true;
    let failures = 0;
    for (;;) {
      const { status, body, headers } = await client.predict(BREAKS);
      if (status === 200) break;
      failures += 1;
      assert.deepEqual([status, body.code, body.retryable], [500, 'INFERENCE_FAILED', true]);
      assert.equal(headers.get('x-slipway-arm'), 'canary', 'the answer names the arm that failed');
      assert.doesNotMatch(body.error, /Gather|onnx|node/i, 'internal detail stays inside');
    }
    assert.ok(failures >= 1 && failures <= 5, `${failures} failures`);
    for (let i = 0; i < 20; i += 1) {
      const { status, headers } = await client.predict(BREAKS);
      assert.deepEqual([status, headers.get('x-slipway-arm')], [200, 'champion']);
    }
    assert.equal(control.trips.length, 0);
    control.down = false;
    await eventually(() => control.trips.length === 1, 'the trip is stored when the sink is back');
    const trip = control.trips.at(-1);
    assert.deepEqual(
      [trip?.gatewayId, trip?.generation, trip?.version],
      ['host:1', generation, version.digest],
    );
    assert.match(trip?.reason ?? '', /fail/);
  });

  it('counts a score that is no probability as a failure of the arm, and never hands it out', async () => {
    const { control } = fixture;
    await canary(await fixture.version('nan-on-some'));
    let failures = 0;
    for (;;) {
      const { status, body } = await client.predict(NAN);
      if (status === 200) break;
      failures += 1;
      assert.equal(body.code, 'INFERENCE_FAILED');
    }
    assert.ok(failures >= 1 && failures <= 5, `${failures} failures`);
    await eventually(() => control.sum('canary', 'invalid') === failures, 'counted as invalid');
    assert.equal(control.sum('canary', 'errors'), 0);
    await eventually(() => control.trips.length === 1, 'reported');
  });

  it('stays tripped in later generations of the release, and reports each of them', async () => {
    const { control } = fixture;
    const version = await fixture.version('fails-on-some');
    const first = await canary(version);
    for (let i = 0; i < 5; i += 1) await client.predict(BREAKS);
    const second = control.route({ champion, candidate: { version, weightBp: 10_000 } });
    await eventually(() => control.lastAck?.generation === second, 'applied');
    assert.equal((await client.predict([1, 2, 3])).headers.get('x-slipway-arm'), 'champion');
    await eventually(() => control.trips.length === 2, 'both reported');
    assert.deepEqual(
      control.trips.map(({ generation }) => generation),
      [first, second],
    );
  });

  it('gives a new release of the version a new chance', async () => {
    const { control } = fixture;
    const version = await fixture.version('fails-on-some');
    await canary(version);
    for (let i = 0; i < 5; i += 1) await client.predict(BREAKS);
    await eventually(() => control.trips.length === 1, 'reported');
    await canary(version, { salt: 'release-2' });
  });

  it('never takes the champion out, which has nobody to stand in for it', async () => {
    const { control } = fixture;
    const breaking = await fixture.version('fails-on-some');
    const generation = control.route({ champion: breaking });
    await eventually(() => control.lastAck?.generation === generation, 'applied');
    for (let i = 0; i < 20; i += 1) assert.equal((await client.predict(BREAKS)).status, 500);
    assert.equal((await client.predict([1, 2, 3])).status, 200);
    assert.equal(control.trips.length, 0);
  });
});

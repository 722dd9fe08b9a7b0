import assert from 'node:assert/strict';
import { chmod, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { generatePrivateKeyPem, signingKey } from '../../platform/keys.ts';
import { signVersion } from '../../platform/signing.ts';
import { ENDPOINT, SPEC } from './control-plane.ts';
import { GatewayFixture, eventually, linear, request } from './gateway-fixture.ts';

describe('gateway: following routes', () => {
  let fixture: GatewayFixture;

  beforeEach(async () => {
    fixture = await GatewayFixture.create();
  });
  afterEach(() => fixture.remove());

  const applied = (generation: number): Promise<void> =>
    eventually(
      () => fixture.control.lastAck?.generation === generation,
      `generation ${generation} is applied`,
    );
  const stateOf = (digest: string): string => {
    const state = fixture.control.lastAck?.versions[digest];
    return state === undefined ? 'none' : state.state === 'refused' ? state.code : state.state;
  };

  it('says within a poll what it applied and which versions are ready', async () => {
    const { control } = fixture;
    const { champion } = await fixture.startServing();
    await applied(1);
    assert.equal(stateOf(champion.digest), 'ready');
    const candidate = await fixture.version('shifted');
    const generation = control.route({ champion, candidate: { version: candidate, weightBp: 0 } });
    await applied(generation);
    await eventually(() => stateOf(candidate.digest) === 'ready', 'the candidate is ready');
    // The heartbeat goes on without changes.
    const sent = control.acks.length;
    await eventually(() => control.acks.length > sent + 2, 'heartbeats');
  });

  it('answers as champion, canary by unit, then as the promoted one, each under its generation', async () => {
    const { control } = fixture;
    const { client, champion } = await fixture.startServing();
    const candidate = await fixture.version('shifted');
    const canary = control.route({ champion, candidate: { version: candidate, weightBp: 5000 } });
    await eventually(
      () => stateOf(candidate.digest) === 'ready' && control.lastAck?.generation === canary,
      'canary',
    );
    const arms = new Map<string, string>();
    for (let user = 0; user < 60; user += 1) {
      const { headers, body } = await client.predict([1, 2, 3], `user-${user}`);
      const arm = headers.get('x-slipway-arm')!;
      arms.set(`user-${user}`, arm);
      assert.equal(body.model_version, arm === 'canary' ? candidate.digest : champion.digest);
      const expected = linear([1, 2, 3], arm === 'canary' ? 1.5 : 0.1);
      assert.ok(Math.abs((body.outputs[1]?.data[0] ?? NaN) - expected) < 1e-6);
      const again = await client.post(request([[1, 2, 3]]), {
        headers: { 'x-slipway-unit': `user-${user}` },
      });
      assert.equal(again.headers.get('x-slipway-arm'), arm, 'header and parameter name the same unit');
    }
    assert.deepEqual([...new Set(arms.values())].sort(), ['canary', 'champion']);
    const promoted = control.route({
      champion: candidate,
      standby: { version: champion, untilMs: Date.now() + 60_000 },
    });
    await applied(promoted);
    for (const user of arms.keys()) {
      const { body, headers } = await client.predict([1, 2, 3], user);
      assert.deepEqual([body.model_version, headers.get('x-slipway-arm')], [candidate.digest, 'champion']);
    }
    assert.equal(stateOf(champion.digest), 'ready', 'the former champion stands by');
  });

  it('swaps champions under load without one failed request, and a rollback to the standby needs no load', async () => {
    const { control } = fixture;
    const loads: string[] = [];
    const { NO_METRICS } = await import('../../serving/metrics.ts');
    const metrics = { ...NO_METRICS, modelLoaded: (_: string, version: string) => void loads.push(version) };
    const { client, champion: first } = await fixture.startServing({ metrics });
    const second = await fixture.version('shifted');
    const failures: unknown[] = [];
    const seen = new Set<string>();
    const stop = new AbortController();
    const caller = async (): Promise<void> => {
      while (!stop.signal.aborted) {
        const { status, body } = await client.predict();
        if (status !== 200) failures.push(body);
        else seen.add(body.model_version);
      }
    };
    const callers = Array.from({ length: 8 }, caller);
    const untilMs = Date.now() + 60_000;
    control.route({ champion: first, candidate: { version: second, weightBp: 1000 } });
    await eventually(() => stateOf(second.digest) === 'ready', 'the candidate is ready');
    await applied(control.route({ champion: second, standby: { version: first, untilMs } }));
    // Promoted: it moves from its thread to the event loop, under load.
    await eventually(() => loads.filter((version) => version === second.digest).length === 2, 'moved inline');
    const before = loads.length;
    for (let i = 0; i < 10; i += 1) {
      const [champion, standby] = i % 2 === 0 ? [first, second] : [second, first];
      await applied(control.route({ champion, standby: { version: standby, untilMs } }));
    }
    assert.equal(loads.length, before, 'no load for a rollback');
    stop.abort();
    await Promise.all(callers);
    assert.deepEqual(failures, []);
    assert.deepEqual([...seen].sort(), [first.digest, second.digest].sort());
  });

  it('refuses tampered, unsigned, foreign and unfit versions with the reason, and goes on serving', async () => {
    const { control, blobs, key } = fixture;
    const { client, champion } = await fixture.startServing();
    const flipped = await fixture.version('shifted', { note: 'flipped' });
    const model = blobs.pathOf(flipped.files[1]!.digest);
    await chmod(model, 0o644);
    await writeFile(model, 'flippeD');
    const plain = await fixture.version('shifted', { note: 'plain' });
    const stranger = signingKey(generatePrivateKeyPem());
    const { LINEAGE } = await import('../platform/signed-version.ts');
    const { files, tensors } = plain;
    const foreign = signVersion({ model: ENDPOINT, files, tensors, lineage: LINEAGE }, stranger);
    const cases = [
      [flipped, 'FILE_DIGEST_MISMATCH'],
      [{ ...plain, bundle: foreign }, 'SIGNER_NOT_TRUSTED'],
      [{ ...plain, bundle: champion.bundle }, 'SIGNATURE_INVALID'],
      [{ ...plain, approvals: [] }, 'VERSION_NOT_APPROVED'],
      [{ ...plain, files: plain.files.slice(0, 1) }, 'FILE_MISSING'],
      [await fixture.version('wrong-signature', { note: 'x' }), 'MODEL_LOAD_FAILED'],
      [await fixture.version(Buffer.from('not a model')), 'MODEL_LOAD_FAILED'],
      [await fixture.version('linear', { endpoint: 'other', note: 'other' }), 'MODEL_LOAD_FAILED'],
    ] as const;
    for (const [version, code] of cases) {
      // A version that was refused is asked for again only after a while: each case is a candidate of its own route.
      control.route({ champion });
      await eventually(() => stateOf(version.digest) === 'none', 'forgotten');
      const generation = control.route({ champion, candidate: { version, weightBp: 10_000, mirrorBp: 0 } });
      await applied(generation);
      await eventually(() => stateOf(version.digest) !== 'loading', 'decided');
      assert.equal(stateOf(version.digest), code);
      assert.equal((await client.predict()).body.model_version, champion.digest);
    }
    assert.equal(key.keyId.length, 64);
  });

  it('keeps the former route when the new champion cannot be loaded, and never the candidate that it dropped', async () => {
    const { control } = fixture;
    const { client, champion } = await fixture.startServing();
    const candidate = await fixture.version('shifted');
    const canary = control.route({ champion, candidate: { version: candidate, weightBp: 10_000 } });
    await eventually(
      async () => (await client.predict()).headers.get('x-slipway-arm') === 'canary',
      'canary',
    );
    const unfit = await fixture.version('wrong-signature');
    control.route({ champion: unfit });
    await eventually(() => stateOf(unfit.digest) === 'MODEL_LOAD_FAILED', 'refused');
    const { headers, body } = await client.predict();
    assert.equal(headers.get('x-slipway-arm'), 'champion');
    assert.equal(body.model_version, champion.digest);
    assert.equal(control.lastAck?.generation, canary, 'it does not claim what it did not apply');
  });

  it('takes a revoked candidate out, and reports a revoked champion while it goes on serving', async () => {
    const { control } = fixture;
    const { client, champion } = await fixture.startServing();
    const candidate = await fixture.version('shifted');
    control.route({ champion, candidate: { version: candidate, weightBp: 10_000 } });
    await eventually(
      async () => (await client.predict()).headers.get('x-slipway-arm') === 'canary',
      'canary',
    );
    control.revocations.digests.push(candidate.digest);
    control.notify();
    await eventually(() => stateOf(candidate.digest) === 'VERSION_REVOKED', 'revoked');
    assert.equal((await client.predict()).headers.get('x-slipway-arm'), 'champion');
    control.revocations.keyIds.push(fixture.key.keyId);
    control.notify();
    await eventually(() => stateOf(champion.digest) === 'VERSION_REVOKED', 'reported');
    assert.equal((await client.predict()).status, 200);
  });

  it('ignores an older generation that is read late', async () => {
    const { control } = fixture;
    const { client, champion } = await fixture.startServing();
    const stale = control.state!;
    const second = await fixture.version('shifted');
    const generation = control.route({ champion: second });
    await applied(generation);
    control.state = stale;
    control.notify();
    const acks = control.acks.length;
    await eventually(() => control.acks.length > acks + 3, 'some heartbeats');
    assert.equal(control.lastAck?.generation, generation);
    assert.equal((await client.predict()).body.model_version, second.digest);
    assert.notEqual(champion.digest, second.digest);
  });

  it('keeps a former champion loaded for as long as promised, though a later route does not name it', async () => {
    const { control } = fixture;
    const { client, champion: first } = await fixture.startServing();
    const second = await fixture.version('shifted');
    const third = await fixture.version('linear', { note: 'third' });
    const untilMs = Date.now() + 1500;
    await applied(control.route({ champion: second, standby: { version: first, untilMs } }));
    await applied(
      control.route({ champion: third, standby: { version: second, untilMs: Date.now() + 60_000 } }),
    );
    const loaded = async (): Promise<boolean> =>
      (await client.send(`/v2/models/${ENDPOINT}/versions/${first.digest}`)).status === 200;
    assert.equal(await loaded(), true);
    await eventually(async () => !(await loaded()), 'unloaded when its time is over');
    assert.ok(Date.now() >= untilMs);
  });

  it('serves 503 with MODEL_NOT_READY until the first champion is loaded, and is not ready until then', async () => {
    const { control } = fixture;
    const unfit = await fixture.version('wrong-signature');
    control.route({ champion: unfit });
    const client = await fixture.start();
    await eventually(() => stateOf(unfit.digest) === 'MODEL_LOAD_FAILED', 'refused');
    const { status, body } = await client.predict();
    assert.deepEqual([status, body.code, body.retryable], [503, 'MODEL_NOT_READY', true]);
    assert.equal((await client.send('/v2/health/ready')).status, 503);
    assert.equal((await client.send(`/v2/models/${ENDPOINT}/ready`)).status, 503);
    assert.equal((await client.send('/v2/health/live')).status, 200);
    control.route({ champion: await fixture.version('linear') });
    await client.ready();
  });

  it('takes the bounds of the features that come with a generation', async () => {
    const { control } = fixture;
    const { client, champion } = await fixture.startServing();
    assert.equal((await client.predict([90, 0, 0])).status, 200);
    const features = SPEC.features.map((feature) => ({ ...feature, max: 10 }));
    await applied(control.route({ champion, spec: { features } }));
    assert.equal((await client.predict([90, 0, 0])).status, 400);
  });
});

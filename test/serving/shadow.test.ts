import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { systemClock } from '../../platform/clock.ts';
import { TallyBook } from '../../serving/arm-tally.ts';
import type { ArmTally } from '../../serving/arm-tally.ts';
import { createBreaker } from '../../domain/rollout/breaker.ts';
import { Guard } from '../../serving/guard.ts';
import { NO_LOG } from '../../serving/log.ts';
import { NO_METRICS } from '../../serving/metrics.ts';
import type { ModelOutput } from '../../serving/models/model-session.ts';
import { PredictionLog } from '../../serving/prediction-log.ts';
import { Shadow } from '../../serving/shadow.ts';
import type { MirrorJob } from '../../serving/shadow.ts';
import { ControlPlane, SPEC } from './control-plane.ts';
import { fakeModel } from './fake-model.ts';
import { GatewayFixture, eventually } from './gateway-fixture.ts';
import type { Client } from './gateway-fixture.ts';
import type { VersionDescriptor } from '../../domain/registry/index.ts';

describe('gateway: shadow', () => {
  let fixture: GatewayFixture;
  let client: Client;
  let champion: VersionDescriptor;

  beforeEach(async () => {
    fixture = await GatewayFixture.create();
    ({ client, champion } = await fixture.startServing());
  });
  afterEach(() => fixture.remove());

  const mirror = async (version: VersionDescriptor, mirrorBp = 10_000): Promise<void> => {
    const { control } = fixture;
    const generation = control.route({ champion, candidate: { version, mirrorBp } });
    await eventually(
      () =>
        control.lastAck?.generation === generation &&
        control.lastAck.versions[version.digest]?.state === 'ready',
      'the shadow is ready',
    );
  };
  const send = async (count: number, row: readonly number[] = [1, 2, 3]): Promise<void> => {
    for (let i = 0; i < count; i += 1) {
      const { status, headers } = await client.predict(row);
      assert.deepEqual([status, headers.get('x-slipway-arm')], [200, 'champion']);
    }
  };

  it('compares pairs: an equal model never diverges, a different one always, and callers see the champion only', async () => {
    const { control } = fixture;
    await mirror(await fixture.version('linear', { note: 'equal' }));
    await send(40);
    await eventually(() => control.sum('shadow', 'pairs') === 40, 'all pairs are compared');
    assert.equal(control.sum('shadow', 'diverged'), 0);
    const different = await fixture.version('shifted');
    await mirror(different);
    await send(40);
    await eventually(() => control.sum('shadow', 'diverged') === 40, 'all pairs diverge');
    assert.equal(control.sum('shadow', 'requests'), 80);
    assert.equal(control.sum('champion', 'requests'), 80);
    const shadows = control.predictions.filter(({ arm }) => arm === 'shadow');
    const champions = new Set(
      control.predictions.filter(({ arm }) => arm === 'champion').map((row) => row.predictionId),
    );
    assert.equal(shadows.length, 80);
    assert.ok(
      shadows.every(({ predictionId }) => champions.has(predictionId)),
      'pairs share their prediction id',
    );
  });

  it('never fails an answer: errors and invalid scores count for the shadow, which then trips', async () => {
    const { control } = fixture;
    await mirror(await fixture.version('fails-on-some'));
    await send(20, [10, 0, 0]);
    await eventually(() => control.trips.length === 1, 'tripped');
    await eventually(() => control.sum('shadow', 'errors') > 0, 'counted');
    const errors = control.sum('shadow', 'errors');
    assert.ok(errors <= 5, `${errors} errors`);
    assert.equal(control.sum('champion', 'errors'), 0);
    await mirror(await fixture.version('nan-on-some'));
    await send(20, [-1, 0, 0]);
    await eventually(() => control.trips.length === 2, 'tripped');
    await eventually(() => control.sum('shadow', 'invalid') > 0, 'counted');
    assert.equal(control.sum('champion', 'invalid'), 0);
  });

  it('mirrors about its share', async () => {
    const { control } = fixture;
    await mirror(await fixture.version('linear', { note: 'equal' }), 3000);
    await send(200);
    await eventually(() => control.sum('champion', 'requests') === 200, 'all are counted');
    const mirrored = control.sum('shadow', 'requests');
    assert.ok(Math.abs(mirrored - 60) < 5 * Math.sqrt(200 * 0.3 * 0.7), `${mirrored}`);
  });
});

describe('shadow queue', () => {
  interface Parts {
    readonly shadow: Shadow;
    readonly job: MirrorJob;
    readonly dropped: () => number;
    readonly reasons: Set<string>;
    readonly tally: ArmTally;
  }
  const half = (rows: number, score = 0.5): ModelOutput => ({
    labels: new BigInt64Array(rows).fill(1n),
    scores: new Float32Array(rows).fill(score),
  });

  function parts(
    run: () => Promise<ModelOutput>,
    {
      underPressure = (): boolean => false,
      again = (_: Float32Array, rows: number) => Promise.resolve(half(rows)),
      scoreTolerance = 0,
    } = {},
  ): Parts {
    let dropped = 0;
    const reasons = new Set<string>();
    const metrics = {
      ...NO_METRICS,
      shadowDropped(_: string, reason: string) {
        dropped += 1;
        reasons.add(reason);
      },
    };
    const { sink } = new ControlPlane();
    const guard = new Guard({ gatewayId: 'g', sink, clock: systemClock, metrics, log: NO_LOG });
    const predictions = new PredictionLog();
    const shadow = new Shadow({
      clock: systemClock,
      guard,
      predictions,
      metrics,
      log: NO_LOG,
      underPressure,
    });
    const book = new TallyBook();
    const of = { endpoint: 'toy', generation: 1, version: 'v' };
    book.enter([{ ...of, arm: 'shadow' } as const, { ...of, arm: 'champion' } as const], 0);
    const tally = book.of(1, 'shadow')!;
    const job: MirrorJob = {
      spec: { ...SPEC, scoreTolerance },
      arm: { version: 'v', session: fakeModel(run, 'worker'), tally, exposure: null },
      champion: {
        version: 'c',
        session: fakeModel(again),
        tally: book.of(1, 'champion')!,
        exposure: null,
      },
      exposure: { breaker: createBreaker(), leaseUntilMs: Infinity, withdrawn: false },
      features: new Float32Array(3),
      rows: 1,
      answer: half(1),
      overheadMs: 0,
      predictionId: 'p',
    };
    return { shadow, job, dropped: () => dropped, reasons, tally };
  }

  it('is bounded: a shadow that hangs loses copies, counted, and one run is under way at a time', async () => {
    let runs = 0;
    const { shadow, job, dropped } = parts(() => {
      runs += 1;
      return new Promise(() => {});
    });
    for (let i = 0; i < 1000; i += 1) shadow.offer(job);
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(runs, 1);
    assert.equal(dropped(), 1000 - 256);
  });

  it('is the first to give way: under pressure it drops what waits and what comes, and counts it', async () => {
    let pressure = false;
    const { shadow, job, dropped, reasons } = parts(() => new Promise(() => {}), {
      underPressure: () => pressure,
    });
    for (let i = 0; i < 10; i += 1) shadow.offer(job);
    await new Promise((resolve) => setTimeout(resolve, 20));
    pressure = true;
    shadow.offer(job);
    assert.equal(dropped(), 9 + 1, 'the one under way is not counted');
    assert.deepEqual([...reasons], ['pressure']);
  });

  it('lets a pair diverge only beyond what the champion differs from itself in a batch of another size', async () => {
    const sizes: number[] = [];
    const again = (features: Float32Array, rows: number): Promise<ModelOutput> => {
      sizes.push(rows);
      assert.equal(features.length, 3 * rows);
      return Promise.resolve(half(rows, 0.501));
    };
    for (const [score, diverged] of [
      [0.5005, 0],
      [0.502, 1],
    ] as const) {
      const { shadow, job, tally } = parts(() => Promise.resolve(half(1, score)), { again });
      shadow.offer(job);
      await eventually(() => tally.pairs === 1, 'the pair is compared');
      assert.equal(tally.diverged, diverged, `a difference of ${score - 0.5}`);
    }
    assert.deepEqual(sizes, [8, 8]);
    const exact = parts(() => Promise.resolve(half(1, 0.5005)));
    exact.shadow.offer(exact.job);
    await eventually(() => exact.tally.pairs === 1, 'the pair is compared');
    assert.equal(exact.tally.diverged, 1, 'without noise and tolerance every difference counts');
  });

  it('runs nothing in the turn of the event loop in which the answer leaves', async () => {
    let ran = false;
    const { shadow, job } = parts(() => {
      ran = true;
      return Promise.resolve({ labels: new BigInt64Array(1), scores: new Float32Array([0.5]) });
    });
    shadow.offer(job);
    await Promise.resolve();
    assert.equal(ran, false);
    await eventually(() => ran, 'it runs afterwards');
  });

  it('runs no copy that was taken before the lease ended', async () => {
    let runs = 0;
    const { shadow, job } = parts(() => {
      runs += 1;
      return Promise.reject(new Error('not expected'));
    });
    shadow.offer(job);
    job.exposure.leaseUntilMs = 0;
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(runs, 0);
  });
});

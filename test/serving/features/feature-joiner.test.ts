import { strict as assert } from 'node:assert';
import { beforeEach, describe, it } from 'mocha';
import { SlipwayError } from '../../../domain/errors.ts';
import type { FeatureSpec } from '../../../domain/manifest/model-manifest.ts';
import type { OnlineSource } from '../../../domain/manifest/serving-spec.ts';
import { NO_FEATURE_METRICS, OnlineFeatures } from '../../../serving/features/index.ts';
import type { FeatureJoiner, FeatureSettings, JoinedFeatures } from '../../../serving/features/index.ts';
import { NO_LOG } from '../../../serving/log.ts';
import { MemoryStore } from './memory-store.ts';
import { VirtualTime } from './virtual-time.ts';

const TTL = 60_000;
const VIEWS = [
  { name: 'demand', entity: 'region', ttlMs: TTL },
  { name: 'prices', entity: 'market', ttlMs: TTL },
];

const column = (name: string, online: Partial<OnlineSource> & { view: string }): FeatureSpec => ({
  name,
  online: { feature: name, onMissing: 'fail', ...online },
});

describe('joining online features', () => {
  let time: VirtualTime;
  let store: MemoryStore;
  let features: OnlineFeatures;

  const open = (settings: Partial<FeatureSettings> = {}): void => {
    const metrics = NO_FEATURE_METRICS;
    features = new OnlineFeatures({
      store,
      metrics,
      log: NO_LOG,
      clock: time,
      timers: time,
      rng: () => 0,
      settings,
    });
  };
  const joinerOf = (...specs: FeatureSpec[]): FeatureJoiner => {
    const joiner = features.joiner(specs, VIEWS);
    assert.ok(joiner !== null);
    return joiner;
  };
  /** One request, whatever it takes. */
  const ask = async (
    joiner: FeatureJoiner,
    keys: readonly (readonly string[])[],
    width: number,
    deadlineMs = Infinity,
  ): Promise<{ values: number[]; statuses: JoinedFeatures; sync: boolean }> => {
    const rows = keys[0]?.length ?? 0;
    const columns = new Float32Array(rows * width).fill(-1);
    const joined = joiner.join(columns, rows, keys, time.monotonic() + deadlineMs);
    if (!(joined instanceof Promise)) return { values: [...columns], statuses: joined, sync: true };
    const outcome = joined.then(
      (statuses) => ({ statuses }),
      (error: unknown) => ({ error }),
    );
    await time.advance(200);
    const result = await outcome;
    if ('error' in result) throw result.error;
    return { values: [...columns], statuses: result.statuses, sync: false };
  };
  const refusal = async (work: Promise<unknown>): Promise<SlipwayError> => {
    try {
      await work;
    } catch (error) {
      assert.ok(error instanceof SlipwayError, String(error));
      return error;
    }
    throw new Error('nothing was refused');
  };

  beforeEach(() => {
    time = new VirtualTime();
    store = new MemoryStore(time);
    open();
  });

  it('fills its own columns and no other, from several views in one read, and answers at once when it knows', async () => {
    const joiner = joinerOf(
      { name: 'sent' },
      column('load', { view: 'demand' }),
      column('spot', { view: 'prices' }),
    );
    assert.deepEqual(joiner.entities, ['region', 'market']);
    store.set('demand', 'nsw', time.now(), { load: 0.5 });
    store.set('demand', 'vic', time.now(), { load: 0.25 });
    store.set('prices', 'a', time.now(), { spot: 8 });
    const keys = [
      ['nsw', 'vic', 'nsw'],
      ['a', 'a', 'a'],
    ];
    const first = await ask(joiner, keys, 3);
    assert.deepEqual(first, { values: [-1, 0.5, 8, -1, 0.25, 8, -1, 0.5, 8], statuses: null, sync: false });
    assert.deepEqual(store.reads, [
      [
        { view: 'demand', keys: ['nsw', 'vic'] },
        { view: 'prices', keys: ['a'] },
      ],
    ]);
    assert.deepEqual(await ask(joiner, keys, 3), { ...first, sync: true });
    assert.equal(store.reads.length, 1);
    assert.equal(features.counters.hits, 6);
    assert.equal(features.counters.misses, 6);
  });

  it('an endpoint without online features has no joiner', () => {
    assert.equal(features.joiner([{ name: 'sent' }], VIEWS), null);
  });

  it('requests of one turn of the event loop share one read, and one key is asked once', async () => {
    const joiner = joinerOf(column('load', { view: 'demand' }));
    for (const key of ['a', 'b']) store.set('demand', key, time.now(), { load: 1 });
    const requests = ['a', 'b', 'a', 'b'].map((key) => ask(joiner, [[key]], 1));
    await Promise.all(requests);
    assert.deepEqual(store.reads, [[{ view: 'demand', keys: ['a', 'b'] }]]);
    const late = ask(joiner, [['c']], 1);
    await refusal(late);
    assert.equal(store.reads.length, 2);
  });

  const causes: readonly (readonly [string, () => void, string])[] = [
    ['NOT_FOUND', () => {}, 'no such entity'],
    ['NOT_FOUND', () => store.set('demand', 'k', time.now(), { other: 1 }), 'no such feature'],
    ['NULL', () => store.set('demand', 'k', time.now(), { load: null }), 'null'],
    ['NULL', () => store.set('demand', 'k', time.now(), { load: 1e300 }), 'more than float32 can hold'],
    ['EXPIRED', () => store.set('demand', 'k', time.now() - TTL - 1, { load: 1 }), 'too old'],
  ];
  for (const [cause, prepare, why] of causes) {
    it(`${why}: fails as ${cause} by default, and takes the default where there is one`, async () => {
      prepare();
      const failing = joinerOf(column('load', { view: 'demand' }));
      const error = await refusal(ask(failing, [['k']], 1));
      assert.equal(error.code, 'FEATURE_MISSING');
      assert.match(error.message, new RegExp(`load of view demand for row 0 of input region is ${cause}`));
      const defaulting = joinerOf(column('load', { view: 'demand', onMissing: 'default', default: 7 }));
      const { values, statuses } = await ask(defaulting, [['k']], 1);
      assert.deepEqual(values, [7]);
      assert.equal(statuses?.status(0, 'load'), 'DEFAULTED');
      const count = defaulting.counts().find((row) => row.cause === cause);
      assert.deepEqual([count?.count, count?.defaulted], [1, 1]);
    });
  }

  it('an error never repeats the key, which may be a person’s, in any of its parts', async () => {
    const joiner = joinerOf(column('load', { view: 'demand' }));
    const error = await refusal(ask(joiner, [['ann@example.org']], 1));
    assert.doesNotMatch(JSON.stringify([error.message, error.internal, error.problems, error.stack]), /ann@/);
  });

  it('stale serves an old value within its limit and says so; beyond it takes the default, or fails', async () => {
    const stale = { view: 'demand', onMissing: 'stale', maxStaleMs: 10_000 } as const;
    store.set('demand', 'old', time.now() - TTL - 9_000, { load: 3 });
    store.set('demand', 'older', time.now() - TTL - 10_001, { load: 3 });
    const { values, statuses } = await ask(joinerOf(column('load', stale)), [['old']], 1);
    assert.deepEqual(values, [3]);
    assert.equal(String(statuses), 'load=EXPIRED');
    assert.match((await refusal(ask(joinerOf(column('load', stale)), [['older']], 1))).message, /is EXPIRED/);
    const withDefault = joinerOf(column('load', { ...stale, default: 9 }));
    const mixed = await ask(withDefault, [['older', 'old', 'gone']], 1);
    assert.deepEqual(mixed.values, [9, 3, 9]);
    assert.equal(String(mixed.statuses), 'load=DEFAULTED:0.2,load=EXPIRED:1');
  });

  it('a value that expires while it is cached is asked for again, and not served', async () => {
    const joiner = joinerOf(column('load', { view: 'demand' }));
    store.set('demand', 'k', time.now() - TTL + 500, { load: 1 });
    await ask(joiner, [['k']], 1);
    await time.advance(301);
    assert.equal((await refusal(ask(joiner, [['k']], 1))).code, 'FEATURE_MISSING');
    store.set('demand', 'k', time.now(), { load: 2 });
    await time.advance(1000);
    assert.deepEqual((await ask(joiner, [['k']], 1)).values, [2]);
  });

  it('a value that expires while the request waits for another one is not served', async () => {
    const joiner = joinerOf(column('load', { view: 'demand' }), column('spot', { view: 'prices' }));
    store.set('demand', 'k', time.now() - TTL + 220, { load: 1 });
    store.set('prices', 'a', time.now(), { spot: 1 });
    store.set('prices', 'b', time.now(), { spot: 1 });
    await ask(joiner, [['k'], ['a']], 2);
    store.latencyMs = 40;
    assert.match((await refusal(ask(joiner, [['k'], ['b']], 2))).message, /load .* is EXPIRED/);
  });

  it('after the refresh time it serves what it has and asks in the background, only up to a maximum', async () => {
    open({ refreshMs: 1000, maxRevalidateMs: 5000 });
    const joiner = joinerOf(column('load', { view: 'demand' }));
    store.set('demand', 'k', time.now(), { load: 1 });
    await ask(joiner, [['k']], 1);
    store.set('demand', 'k', time.now(), { load: 2 });
    await time.advance(2000);
    assert.deepEqual(await ask(joiner, [['k']], 1), { values: [1], statuses: null, sync: true });
    await time.advance(10);
    assert.deepEqual(await ask(joiner, [['k']], 1), { values: [2], statuses: null, sync: true });
    assert.equal(features.counters.stale, 1);
    store.set('demand', 'k', time.now(), { load: 3 });
    await time.advance(5001);
    assert.deepEqual((await ask(joiner, [['k']], 1)).values, [3], 'too long unasked to be served unasked');
  });

  it('keys that were read together come due apart, by a tenth of the refresh time', async () => {
    const draws = [0, 1];
    features = new OnlineFeatures({
      store,
      metrics: NO_FEATURE_METRICS,
      log: NO_LOG,
      clock: time,
      timers: time,
      rng: () => draws.shift() ?? 0,
      settings: { refreshMs: 1000 },
    });
    const joiner = joinerOf(column('load', { view: 'demand' }));
    for (const key of ['a', 'b']) store.set('demand', key, time.now(), { load: 1 });
    await ask(joiner, [['a', 'b']], 1);
    await time.advance(750);
    await ask(joiner, [['a', 'b']], 1);
    await time.advance(10);
    assert.deepEqual(store.reads[1], [{ view: 'demand', keys: ['b'] }]);
  });

  it('what the store does not have is not asked again for a second, and then it is', async () => {
    const joiner = joinerOf(column('load', { view: 'demand', onMissing: 'default', default: 0 }));
    await ask(joiner, [['k']], 1);
    assert.equal((await ask(joiner, [['k']], 1)).sync, true);
    assert.equal(store.reads.length, 1);
    assert.equal(features.counters.negative, 1);
    store.set('demand', 'k', time.now(), { load: 4 });
    await time.advance(1000);
    assert.deepEqual((await ask(joiner, [['k']], 1)).values, [4]);
  });

  it('keys that no store can hold are not found, and do not spoil the read of others', async () => {
    const joiner = joinerOf(column('load', { view: 'demand', onMissing: 'default', default: 0 }));
    store.set('demand', 'k', time.now(), { load: 4 });
    const { values } = await ask(joiner, [['a\0b', '\ud800', '', 'x'.repeat(513), 'k']], 1);
    assert.deepEqual(values, [0, 0, 0, 0, 4]);
    assert.deepEqual(store.reads, [[{ view: 'demand', keys: ['k'] }]]);
    assert.equal(features.cachedRows, 1, 'nor are they kept');
  });

  describe('when the store is gone or slow', () => {
    const fail = column('load', { view: 'demand' });
    const orDefault = column('load', { view: 'demand', onMissing: 'default', default: 7 });
    const orStale = column('load', { view: 'demand', onMissing: 'stale', maxStaleMs: 10_000 });

    it('fails only what has neither a value within its TTL nor another policy', async () => {
      store.set('demand', 'k', time.now(), { load: 1 });
      const joiner = joinerOf(fail);
      await ask(joiner, [['k']], 1);
      store.down = true;
      const error = await refusal(ask(joiner, [['other']], 1));
      assert.equal(error.code, 'FEATURES_UNAVAILABLE');
      assert.equal(error.status, 503);
      assert.equal((await ask(joinerOf(orDefault), [['other']], 1)).statuses?.status(0, 'load'), 'DEFAULTED');
      await time.advance(40_000);
      const served = await ask(joiner, [['k']], 1);
      assert.deepEqual(served, { values: [1], statuses: null, sync: false }, 'old, but within its TTL');
      await time.advance(20_000);
      assert.equal((await refusal(ask(joiner, [['k']], 1))).code, 'FEATURES_UNAVAILABLE');
      assert.deepEqual((await ask(joinerOf(orStale), [['k']], 1)).values, [1]);
      await time.advance(10_000);
      assert.equal((await refusal(ask(joinerOf(orStale), [['k']], 1))).code, 'FEATURES_UNAVAILABLE');
    });

    for (const [deadline, waits] of [
      [Infinity, 50],
      [40, 20],
      [-5, 0],
    ] as const) {
      it(`a request with ${deadline} ms left waits ${waits} ms for it`, async () => {
        store.latencyMs = 500;
        const joiner = joinerOf(orDefault);
        let answered = false;
        const joined = joiner.join(new Float32Array(1), 1, [['k']], time.monotonic() + deadline);
        assert.ok(joined instanceof Promise);
        void joined.then(() => (answered = true));
        await time.advance(waits - 1);
        assert.equal(answered, false);
        await time.advance(1);
        assert.equal(answered, true);
      });
    }

    for (const [how, hinder] of [
      ['refuses', () => (store.down = true)],
      ['hangs', () => (store.latencyMs = Infinity)],
    ] as const) {
      it(`a store that ${how} is told to the operator once, and once that it is back`, async () => {
        const said: string[] = [];
        const log = { ...NO_LOG, info: () => said.push('back'), error: () => said.push('gone') };
        features = new OnlineFeatures({ store, metrics: NO_FEATURE_METRICS, log, clock: time, timers: time });
        const joiner = joinerOf(orDefault);
        hinder();
        for (const key of ['a', 'b', 'c']) await ask(joiner, [[key]], 1);
        await time.advance(2000);
        Object.assign(store, { down: false, latencyMs: 1 });
        for (const key of ['d', 'e']) await ask(joiner, [[key]], 1);
        assert.deepEqual(said, ['gone', 'back']);
      });
    }

    it('an answer that comes late is still there for the next request', async () => {
      store.set('demand', 'k', time.now(), { load: 1 });
      store.latencyMs = 120;
      const joiner = joinerOf(orDefault);
      assert.deepEqual((await ask(joiner, [['k']], 1)).values, [7]);
      assert.deepEqual(await ask(joiner, [['k']], 1), { values: [1], statuses: null, sync: true });
      assert.equal(store.reads.length, 1);
    });

    it('reads that never end are given up, so that the store is asked again', async () => {
      store.set('demand', 'k', time.now(), { load: 1 });
      store.latencyMs = Infinity;
      const joiner = joinerOf(orDefault);
      for (const key of ['k', 'a', 'b', 'c', 'd', 'e']) {
        void joiner.join(new Float32Array(1), 1, [[key]], Infinity);
        await time.advance(1);
      }
      store.latencyMs = 1;
      assert.equal(store.reads.length, 4, 'no more than that at once');
      await time.advance(1100);
      assert.deepEqual((await ask(joiner, [['k']], 1)).values, [1]);
    });
  });

  it('the cache holds no more than its capacity, and keeps what is used', async () => {
    open({ capacity: 100 });
    const joiner = joinerOf(column('load', { view: 'demand', onMissing: 'default', default: 0 }));
    store.set('demand', 'hot', time.now(), { load: 1 });
    for (let round = 0; round < 20; round += 1) {
      await ask(joiner, [['hot', ...Array.from({ length: 20 }, (_, i) => `cold-${round}-${i}`)]], 1);
    }
    assert.equal(features.cachedRows, 100);
    assert.equal(features.evictions, 301);
    assert.equal(store.reads.filter((read) => read[0]?.keys.includes('hot')).length, 1);
  });

  it('a second endpoint that needs another feature of a cached row reads the row anew', async () => {
    store.set('demand', 'k', time.now(), { load: 1, trend: 2 });
    await ask(joinerOf(column('load', { view: 'demand' })), [['k']], 1);
    const both = joinerOf(column('trend', { view: 'demand' }), column('load', { view: 'demand' }));
    assert.deepEqual((await ask(both, [['k']], 2)).values, [2, 1]);
  });

  it('a start is warm with the keys that another gateway noted as hot', async () => {
    const spec = column('load', { view: 'demand' });
    for (const key of ['a', 'b', 'c']) store.set('demand', key, time.now(), { load: 1 });
    const joiner = joinerOf(spec);
    for (const keys of [
      ['a', 'b', 'c'],
      ['b', 'c'],
      ['c', 'c'],
    ])
      await ask(joiner, [keys], 1);
    features.start();
    await time.advance(60_000);
    await features.close();
    assert.deepEqual(
      store.heat.get('demand')?.map(({ key }) => key),
      ['c', 'b'],
    );
    open();
    const warmed = joinerOf(spec);
    const warming = features.warmUp();
    await time.advance(100);
    await warming;
    store.down = true;
    for (const key of ['a', 'b', 'c']) store.set('demand', key, time.now(), { load: 1 });
    await time.advance(0);
    assert.equal(features.cachedRows, 2);
    assert.equal((await refusal(ask(warmed, [['a']], 1))).code, 'FEATURES_UNAVAILABLE');
  });

  for (const [name, hinder] of [
    ['away', () => (store.down = true)],
    ['silent', () => (store.latencyMs = Infinity)],
  ] as const) {
    it(`warming up ends within its budget when the store is ${name}, and is no failure`, async () => {
      store.heat.set('demand', [{ key: 'a', heat: 1 }]);
      open({ warmUpMs: 500 });
      joinerOf(column('load', { view: 'demand' }));
      hinder();
      let done = false;
      void features.warmUp().then(() => (done = true));
      await time.advance(500);
      assert.equal(done, true);
    });
  }
});

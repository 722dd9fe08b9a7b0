import { strict as assert } from 'node:assert';
import { describe, it } from 'mocha';
import { SlipwayError } from '../../../domain/errors.ts';
import { NO_FEATURE_METRICS, OnlineFeatures, openRedisStore } from '../../../serving/features/index.ts';
import type { RedisStore } from '../../../serving/features/index.ts';
import { NO_LOG } from '../../../serving/log.ts';
import { redisInstalled, startRedis } from '../../support/redis.ts';
import { eventually } from '../gateway-fixture.ts';
import { onlineStoreContract } from './store-contract.ts';

const unavailable = (error: unknown): boolean =>
  error instanceof SlipwayError && error.code === 'UNAVAILABLE';
const ready = (store: RedisStore): Promise<void> => eventually(() => store.ready, 'Redis connected');

describe('the Redis feature store without a server', () => {
  it('fails at once instead of waiting, tells why, and can be closed', async () => {
    const errors: Error[] = [];
    const store = openRedisStore({
      url: 'redis://ann:secret@127.0.0.1:1',
      onConnectionLost: (error) => errors.push(error),
    });
    const startedMs = performance.now();
    await assert.rejects(store.read([{ view: 'v', keys: ['ann@example.org'] }]), (error: unknown) => {
      assert.doesNotMatch(JSON.stringify([error, String(error)]), /ann@|secret/);
      return unavailable(error);
    });
    assert.ok(performance.now() - startedMs < 100);
    await eventually(() => errors.length > 0, 'a failed attempt');
    assert.equal(store.ready, false);
    await store.close();
  });
});

if (redisInstalled()) {
  onlineStoreContract('Redis', async () => {
    const redis = await startRedis();
    const store = openRedisStore({ url: redis.url });
    await ready(store);
    return {
      store,
      writer: store,
      async close() {
        await store.close();
        await redis.stop();
      },
    };
  });

  describe('the Redis feature store', () => {
    it('comes back by itself after the server was away', async () => {
      const first = await startRedis();
      const port = Number(new URL(first.url).port);
      const store = openRedisStore({ url: first.url });
      await ready(store);
      await first.stop();
      await eventually(() => !store.ready, 'the connection is lost');
      await assert.rejects(store.read([{ view: 'v', keys: ['k'] }]), unavailable);
      const second = await startRedis(port);
      await ready(store);
      assert.deepEqual(await store.read([{ view: 'v', keys: ['k'] }]), [[null]]);
      await store.close();
      await second.stop();
    });

    it('a server that hangs costs a request the timeout and no more, and the gateway recovers when it wakes', async () => {
      const redis = await startRedis();
      const store = openRedisStore({ url: redis.url });
      await ready(store);
      await store.write('v', [{ key: 'k', eventAtMs: Date.now(), values: { x: 3 } }]);
      const features = new OnlineFeatures({ store, metrics: NO_FEATURE_METRICS, log: NO_LOG });
      const joiner = features.joiner(
        [{ name: 'x', online: { view: 'v', feature: 'x', onMissing: 'default', default: 9 } }],
        [{ name: 'v', entity: 'e', ttlMs: 60_000 }],
      );
      const ask = async (): Promise<readonly [value: number | undefined, ms: number]> => {
        const columns = new Float32Array(1);
        const startedMs = performance.now();
        await joiner?.join(columns, 1, [['k']], startedMs + 10_000);
        return [columns[0], performance.now() - startedMs];
      };
      redis.freeze();
      const [value, ms] = await ask();
      assert.equal(value, 9);
      assert.ok(ms >= 45 && ms < 500, `${ms} ms`);
      redis.thaw();
      await eventually(async () => (await ask())[0] === 3, 'the value of the store');
      await features.close();
      await store.close();
      await redis.stop();
    });

    it('heat of more than two hours ago no longer counts', async () => {
      const redis = await startRedis();
      let hours = 0;
      const clock = { now: () => 1_700_000_000_000 + hours * 3_600_000, monotonic: () => performance.now() };
      const store = openRedisStore({ url: redis.url, clock });
      await ready(store);
      await store.noteHeat('v', [{ key: 'old', heat: 9 }]);
      hours = 1;
      await store.noteHeat('v', [{ key: 'new', heat: 1 }]);
      assert.deepEqual(await store.hottest('v', 5), ['old', 'new']);
      hours = 2;
      assert.deepEqual(await store.hottest('v', 5), ['new']);
      await store.close();
      await redis.stop();
    });
  });
}

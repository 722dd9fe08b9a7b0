import { strict as assert } from 'node:assert';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';
import { SlipwayError } from '../../../domain/errors.ts';
import type { OnlineRow } from '../../../domain/features/index.ts';
import type { FeatureSpec } from '../../../domain/manifest/model-manifest.ts';
import type { OnlineSource } from '../../../domain/manifest/serving-spec.ts';
import { NO_FEATURE_METRICS, OnlineFeatures } from '../../../serving/features/index.ts';
import type { FeatureSettings, JoinedFeatures } from '../../../serving/features/index.ts';
import { NO_LOG } from '../../../serving/log.ts';
import { createRng } from '../../support/rng.ts';
import { MemoryStore } from './memory-store.ts';
import { naiveJoin } from './naive-join.ts';
import { VirtualTime } from './virtual-time.ts';

const KEYS = ['a', 'b', 'c', 'd'];
const key = fc.constantFrom(...KEYS);
const ms = fc.integer({ min: 0, max: 3000 });

const source: fc.Arbitrary<OnlineSource> = fc.oneof(
  fc.constant({ view: 'v', feature: 'x', onMissing: 'fail' } as const),
  fc.constant({ view: 'v', feature: 'x', onMissing: 'default', default: -1 } as const),
  ms.map((maxStaleMs) => ({ view: 'v', feature: 'y', onMissing: 'stale', maxStaleMs }) as const),
  ms.map((maxStaleMs) => ({ view: 'v', feature: 'y', onMissing: 'stale', maxStaleMs, default: -2 }) as const),
);

type Step =
  | {
      readonly do: 'write';
      readonly key: string;
      readonly ageMs: number;
      readonly gap: 'none' | 'null' | 'absent';
    }
  | { readonly do: 'join'; readonly keys: readonly string[]; readonly budgetMs: number }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'store'; readonly down: boolean; readonly latencyMs: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant('write' as const),
    key,
    ageMs: fc.oneof(fc.constant(0), fc.integer({ min: -100, max: 4000 })),
    gap: fc.constantFrom(...(['none', 'none', 'none', 'none', 'null', 'absent'] as const)),
  }),
  fc.record({
    do: fc.constant('join' as const),
    keys: fc.array(key, { minLength: 1, maxLength: 3 }),
    budgetMs: ms,
  }),
  fc.record({ do: fc.constant('wait' as const), ms }),
  fc.record({
    do: fc.constant('store' as const),
    down: fc.constantFrom(false, false, true),
    latencyMs: fc.constantFrom(0, 0, 5, 5, 49, 60, 900, Infinity),
  }),
);

interface Answer {
  readonly keys: readonly string[];
  readonly columns: Float32Array;
  readonly outcome: JoinedFeatures | SlipwayError;
  readonly atMs: number;
}

function setUp(
  sources: readonly OnlineSource[],
  ttlMs: number,
  seed: number,
  settings: Partial<FeatureSettings>,
) {
  const time = new VirtualTime();
  const store = new MemoryStore(time);
  const features = new OnlineFeatures({
    store,
    metrics: NO_FEATURE_METRICS,
    log: NO_LOG,
    clock: time,
    timers: time,
    rng: createRng(seed).next,
    settings,
  });
  const specs = sources.map((online, index): FeatureSpec => ({ name: `f${index}`, online }));
  const joiner = features.joiner(specs, [{ name: 'v', entity: 'e', ttlMs }]);
  assert.ok(joiner !== null);
  const begin = (keys: readonly string[], budgetMs: number): Promise<Answer> => {
    const columns = new Float32Array(keys.length * specs.length);
    const answer = (outcome: JoinedFeatures | SlipwayError): Answer => ({
      keys,
      columns,
      outcome,
      atMs: time.now(),
    });
    const refused = (error: unknown): Answer => {
      if (error instanceof SlipwayError) return answer(error);
      throw error;
    };
    try {
      const joined = joiner.join(columns, keys.length, [keys], time.monotonic() + budgetMs);
      return joined instanceof Promise ? joined.then(answer, refused) : Promise.resolve(answer(joined));
    } catch (error) {
      return Promise.resolve(refused(error));
    }
  };
  return { time, store, begin };
}

function write(store: MemoryStore, to: string, eventAtMs: number, value: number, gap: string): OnlineRow {
  const values = gap === 'absent' ? {} : gap === 'null' ? { x: null, y: null } : { x: value, y: value };
  store.set('v', to, eventAtMs, values);
  return { eventAtMs, values };
}

describe('online features, whatever happens', () => {
  it('nothing is served beyond its TTL, except by the policy stale within its limit; and nothing is made up', async () => {
    const config = fc.record({
      sources: fc.array(source, { minLength: 1, maxLength: 3 }),
      ttlMs: fc.integer({ min: 1, max: 2500 }),
      seed: fc.nat(),
      refreshMs: fc.constantFrom(0, 100, 5000),
      negativeMs: fc.constantFrom(0, 1000),
      maxRevalidateMs: fc.constantFrom(0, 2000, 30_000),
      capacity: fc.constantFrom(2, 100),
    });
    const kinds = new Map<string, number>();
    await fc.assert(
      fc.asyncProperty(
        config,
        fc.array(step, { minLength: 10, maxLength: 40, size: 'max' }),
        async (options, steps) => {
          const { sources, ttlMs, seed, ...settings } = options;
          const { time, store, begin } = setUp(sources, ttlMs, seed, settings);
          /** Each value is written once, so that what is served tells when it was true. */
          const eventOf = new Map<string, number>();
          const answers: Promise<Answer>[] = [];
          let value = 0;
          for (const first of KEYS) {
            value += 1;
            eventOf.set(`${first} ${value}`, time.now());
            write(store, first, time.now(), value, 'none');
          }
          for (const now of steps) {
            if (now.do === 'wait') await time.advance(now.ms);
            else if (now.do === 'join') answers.push(begin(now.keys, now.budgetMs));
            else if (now.do === 'store') Object.assign(store, { down: now.down, latencyMs: now.latencyMs });
            else {
              value += 1;
              const eventAtMs = time.now() - now.ageMs;
              eventOf.set(`${now.key} ${value}`, eventAtMs);
              write(store, now.key, eventAtMs, value, now.gap);
            }
          }
          await time.advance(5000);
          for (const { keys, columns, outcome, atMs } of await Promise.all(answers)) {
            kinds.set(kindOf(outcome), (kinds.get(kindOf(outcome)) ?? 0) + 1);
            if (outcome instanceof SlipwayError) continue;
            keys.forEach((asked, row) =>
              sources.forEach((online, index) => {
                const served = columns[row * sources.length + index] ?? NaN;
                const status = outcome?.status(row, `f${index}`) ?? 'PRESENT';
                if (status === 'DEFAULTED') return assert.equal(served, online.default);
                const eventAtMs = eventOf.get(`${asked} ${served}`);
                assert.ok(eventAtMs !== undefined, `${served} was never written for ${asked}`);
                const age = atMs - eventAtMs;
                if (status === 'PRESENT') return assert.ok(age <= ttlMs, `${age} ms old, TTL ${ttlMs}`);
                assert.equal(status, 'EXPIRED');
                assert.ok(age > ttlMs && age <= ttlMs + (online.maxStaleMs ?? -Infinity));
              }),
            );
          }
        },
      ),
      { numRuns: 500 },
    );
    // A property that never meets what it is about proves nothing.
    for (const kind of ['all present', 'mixed', 'FEATURE_MISSING', 'FEATURES_UNAVAILABLE']) {
      assert.ok((kinds.get(kind) ?? 0) > 100, `${kind}: ${kinds.get(kind) ?? 0}`);
    }
  });

  it('agrees with the naive implementation: ask the store each time, else use what it said last', async () => {
    const config = fc.record({
      sources: fc.array(source, { minLength: 1, maxLength: 3 }),
      ttlMs: fc.integer({ min: 1, max: 2500 }),
    });
    const calm = step.filter((one) => one.do !== 'store' || one.latencyMs < 50);
    await fc.assert(
      fc.asyncProperty(
        config,
        fc.array(calm, { minLength: 10, maxLength: 40, size: 'max' }),
        async (options, steps) => {
          const { sources, ttlMs } = options;
          const always = { refreshMs: 0, negativeMs: 0, maxRevalidateMs: 0 };
          const { time, store, begin } = setUp(sources, ttlMs, 1, always);
          store.latencyMs = 0;
          const last = new Map<string, OnlineRow | null>();
          let value = 0;
          for (const now of steps) {
            if (now.do === 'wait') await time.advance(now.ms);
            else if (now.do === 'store') Object.assign(store, { down: now.down, latencyMs: now.latencyMs });
            else if (now.do === 'write') {
              value += 1;
              write(store, now.key, time.now() - now.ageMs, value, now.gap);
            } else {
              const pending = begin(now.keys, Infinity);
              const stored = now.keys.map((asked) => store.rows.get(`v/${asked}`) ?? null);
              await time.advance(49);
              const { columns, outcome, atMs } = await pending;
              if (!store.down) now.keys.forEach((asked, row) => last.set(asked, stored[row] ?? null));
              const expected = now.keys.flatMap((asked) =>
                sources.map((online) => {
                  const known = last.get(asked) ?? null;
                  return naiveJoin(online, ttlMs, !store.down, known, atMs);
                }),
              );
              const error = expected.find((one) => 'error' in one);
              if (error !== undefined && 'error' in error) {
                assert.ok(outcome instanceof SlipwayError, 'the naive one refuses');
                assert.equal(outcome.code, error.error);
              } else {
                assert.ok(!(outcome instanceof SlipwayError), String(outcome));
                const got = [...columns].map((served, at) => ({
                  value: served,
                  status:
                    outcome?.status(Math.floor(at / sources.length), `f${at % sources.length}`) ?? 'PRESENT',
                }));
                assert.deepEqual(got, expected);
              }
            }
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

function kindOf(outcome: JoinedFeatures | SlipwayError): string {
  if (outcome instanceof SlipwayError) return outcome.code;
  return outcome === null ? 'all present' : 'mixed';
}

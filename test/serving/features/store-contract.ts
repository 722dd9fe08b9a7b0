/** What every online store does, whatever it is made of. */
import { strict as assert } from 'node:assert';
import * as fc from 'fast-check';
import { after, before, describe, it } from 'mocha';
import { SlipwayError } from '../../../domain/errors.ts';
import type { OnlineWrite } from '../../../domain/features/index.ts';
import type { OnlineFeatureWriter, OnlineStore } from '../../../serving/features/index.ts';

export interface OpenedStore {
  readonly store: OnlineStore;
  readonly writer: OnlineFeatureWriter;
  close(): Promise<void>;
}

export function onlineStoreContract(name: string, open: () => Promise<OpenedStore>): void {
  describe(`online store: ${name}`, () => {
    let opened: OpenedStore;
    before(async () => {
      opened = await open();
    });
    after(() => opened.close());

    const one = async (view: string, key: string) =>
      (await opened.store.read([{ view, keys: [key] }]))[0]?.[0];

    it('gives back exactly what was written, in the order of the question, for several views at once', async () => {
      const { store, writer } = opened;
      const a = { eventAtMs: 1_700_000_000_123, values: { x: 0.1, y: null, 'odd "name"': -1e-300 } };
      const b = { eventAtMs: 0, values: {} };
      const c = { eventAtMs: 4_102_444_800_001, values: { x: 123_456_789.000_000_1 } };
      await writer.write('one', [
        { key: 'a', ...a },
        { key: 'b:b', ...b },
      ]);
      await writer.write('two', [{ key: 'a', ...c }]);
      const answers = await store.read([
        { view: 'two', keys: ['a'] },
        { view: 'one', keys: ['b:b', 'none', 'a', 'a'] },
        { view: 'three', keys: ['a'] },
        { view: 'one', keys: [] },
      ]);
      assert.deepEqual(answers, [[c], [b, null, a, a], [null], []]);
      assert.deepEqual(await store.read([]), []);
    });

    it('any key that may be stored comes back as itself and as no other', async () => {
      const keys = fc.uniqueArray(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }), {
        minLength: 5,
      });
      await fc.assert(
        fc.asyncProperty(keys, async (all) => {
          const usable = all.filter((key) => !key.includes('\0'));
          const rows = usable.map((key, index) => ({ key, eventAtMs: 5, values: { n: index } }));
          await opened.writer.write('keys', rows);
          const [read] = await opened.store.read([{ view: 'keys', keys: usable }]);
          assert.deepEqual(
            read?.map((row) => row?.values['n']),
            usable.map((_, index) => index),
          );
        }),
        { numRuns: 20 },
      );
    });

    it('a newer event time is never replaced by an older one; the same one is, so that a repair can be written', async () => {
      const row = (eventAtMs: number, x: number): OnlineWrite => ({ key: 'k', eventAtMs, values: { x } });
      const { writer } = opened;
      await writer.write('order', [row(2000, 1)]);
      await writer.write('order', [row(1999, 2)]);
      assert.deepEqual(await one('order', 'k'), { eventAtMs: 2000, values: { x: 1 } });
      await writer.write('order', [row(2000, 3)]);
      assert.deepEqual(await one('order', 'k'), { eventAtMs: 2000, values: { x: 3 } });
      await writer.write('order', [row(2002, 4), row(2001, 5)]);
      assert.deepEqual(await one('order', 'k'), { eventAtMs: 2002, values: { x: 4 } }, 'within a batch too');
    });

    it('writers that race end with the newest row, in whatever order they come', async () => {
      const times = Array.from({ length: 40 }, (_, index) => ((index * 17) % 40) + 1);
      await Promise.all(
        times.map((eventAtMs) =>
          opened.writer.write(
            'race',
            ['p', 'q', 'r'].map((key) => ({ key, eventAtMs, values: { x: eventAtMs } })),
          ),
        ),
      );
      for (const key of ['p', 'q', 'r']) {
        assert.deepEqual(await one('race', key), { eventAtMs: 40, values: { x: 40 } });
      }
    });

    it('refuses what it could not give back, and then writes nothing of the batch', async () => {
      const good: OnlineWrite = { key: 'good', eventAtMs: 1, values: { x: 1 } };
      const bad: readonly OnlineWrite[] = [
        { ...good, key: 'a\0b' },
        { ...good, key: '\ud800' },
        { ...good, key: '' },
        { ...good, eventAtMs: 1.5 },
        { ...good, eventAtMs: -1 },
        { ...good, values: { x: NaN } },
        { ...good, values: { x: Infinity } },
      ];
      for (const row of bad) {
        await assert.rejects(
          opened.writer.write('refused', [good, row]),
          (error: unknown) => error instanceof SlipwayError && error.code === 'INVALID_REQUEST',
        );
      }
      assert.equal(await one('refused', 'good'), null);
    });

    it('takes and gives a batch of thousands', async () => {
      const keys = Array.from({ length: 12_000 }, (_, index) => `key-${index}`);
      await opened.writer.write(
        'many',
        keys.map((key, n) => ({ key, eventAtMs: 7, values: { n } })),
      );
      const [rows] = await opened.store.read([{ view: 'many', keys }]);
      assert.ok(rows?.every((row, index) => row?.values['n'] === index));
    });

    it('remembers the hottest keys of a view over the notes of several gateways', async () => {
      const { store } = opened;
      assert.deepEqual(await store.hottest('heat', 10), []);
      await store.noteHeat('heat', [
        { key: 'a', heat: 1 },
        { key: 'b', heat: 50 },
        { key: 'c', heat: 8 },
      ]);
      await store.noteHeat('heat', [
        { key: 'c', heat: 100 },
        { key: 'd', heat: 60 },
      ]);
      assert.deepEqual(await store.hottest('heat', 10), ['c', 'd', 'b', 'a']);
      assert.deepEqual(await store.hottest('heat', 2), ['c', 'd']);
      assert.deepEqual(await store.hottest('other', 2), []);
    });
  });
}

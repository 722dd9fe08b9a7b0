import assert from 'node:assert/strict';
import { mkdtemp, readFile, readdir, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { predictionSchema } from '../../../serving/prediction-log/index.ts';
import type { LoggedPrediction } from '../../../serving/prediction-log/index.ts';
import { realDisk } from '../../../serving/prediction-log/segment-disk.ts';
import type { SegmentDisk } from '../../../serving/prediction-log/segment-disk.ts';
import {
  FEATURES,
  HandClock,
  SCHEMA,
  VERSION,
  newGate,
  openLog,
  prediction,
  rowsIn,
  segmentsOf,
  uuidOf,
} from './log-fixture.ts';

const MIB = 1024 * 1024;

describe('prediction log segments', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'slipway-log-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('give back every value that was added, of one row and of several, of answers and of failures', async () => {
    const { log } = openLog(folder);
    const elec2 = log.endpoint(SCHEMA);
    elec2.add(prediction(1, { statuses: Uint8Array.of(2) }));
    elec2.add(prediction(2, { rows: 2, arm: 'exp:b', experiment: 'colours', propensity: 0.25 }));
    elec2.add(prediction(3, { outcome: 'error', output: null, predictionId: 'no "uuid" é' }));
    await log.close(1000);
    const { rows } = await rowsIn(folder);
    const same = { generation: 3, version: VERSION, latency_us: 1500 };
    const plain = { arm: 'champion', experiment: null, propensity: null, outcome: 'ok', ...same };
    const arm = { arm: 'exp:b', experiment: 'colours', propensity: 0.25, outcome: 'ok', ...same };
    const score = Math.fround;
    assert.deepEqual(rows, [
      {
        prediction_id: uuidOf(1),
        row: null,
        at: prediction(1).atMs,
        ...plain,
        decision: 1n,
        score: score(0.01),
        'feature.demand': 1,
        'feature.price': 1.25,
        'status.price': 'EXPIRED',
      },
      {
        prediction_id: uuidOf(2),
        row: 0,
        at: prediction(2).atMs,
        ...arm,
        decision: 2n,
        score: score(0.02),
        'feature.demand': 2,
        'feature.price': 2.25,
        'status.price': 'PRESENT',
      },
      {
        prediction_id: uuidOf(2),
        row: 1,
        at: prediction(2).atMs,
        ...arm,
        decision: 3n,
        score: score(0.03),
        'feature.demand': 2.375,
        'feature.price': 2.625,
        'status.price': 'PRESENT',
      },
      {
        prediction_id: 'no "uuid" é',
        row: null,
        at: prediction(3).atMs,
        ...plain,
        outcome: 'error',
        decision: null,
        score: null,
        'feature.demand': 3,
        'feature.price': 3.25,
        'status.price': 'PRESENT',
      },
    ]);
  });

  it('keep any ids, arms and numbers of rows in their order, over the ends of blocks', async () => {
    const text = fc.oneof(
      fc.uuid(),
      fc.string({ unit: 'binary', maxLength: 40 }),
      fc.constant('00000000-0000-0000-0000-000000000007'),
    );
    const request = fc.record({
      id: text,
      arm: fc.stringMatching(/^exp:[a-z]{1,9}$/),
      rows: fc.integer({ min: 1, max: 900 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 40 }), async (requests) => {
        const own = await mkdtemp(join(folder, 'p-'));
        const { log } = openLog(own);
        const elec2 = log.endpoint(SCHEMA);
        for (const [n, { id, arm, rows }] of requests.entries())
          elec2.add(prediction(n, { predictionId: id, arm, rows }));
        await log.close(5000);
        const expected = requests.flatMap(({ id, arm, rows }, n) =>
          Array.from({ length: rows }, (_, row) => [id, rows === 1 ? null : row, arm, BigInt(n + row)]),
        );
        const { rows, report } = await rowsIn(own);
        assert.deepEqual(
          rows.map((row) => [row['prediction_id'], row['row'], row['arm'], row['decision']]),
          expected,
        );
        assert.deepEqual(report.torn, []);
      }),
      { numRuns: 25 },
    );
  });

  it('hold nothing of an input but the features of the allow-list, also not in gaps of used memory', async () => {
    const planted = new Float32Array([1234.5678, 8765.4321, 4321.8765]);
    const { log } = openLog(folder, { settings: { memoryBytes: 64 * 1024 } });
    // Another endpoint, which logs everything, has used the one buffer before: its values may not come back either.
    const open = log.endpoint(predictionSchema('open', FEATURES, ['demand', 'secret', 'price']));
    for (let n = 0; n < 500; n += 1) open.add(prediction(n, { features: planted }));
    await log.flush();
    const elec2 = log.endpoint(SCHEMA);
    elec2.add(prediction(1, { features: Float32Array.of(1, planted[1] as number, 3) }));
    await log.close(1000);
    const bytesOf = async (endpoint: string): Promise<Buffer> =>
      Buffer.concat(await Promise.all((await segmentsOf(folder, endpoint)).map((file) => readFile(file))));
    const needles = [...planted].map((value) => Buffer.from(Float32Array.of(value).buffer));
    const everything = await bytesOf('open');
    for (const needle of needles) assert.ok(everything.includes(needle), 'the search finds what is there');
    const logged = await bytesOf('elec2');
    for (const needle of needles) assert.equal(logged.includes(needle), false);
    assert.equal(logged.includes('secret'), false);
  });

  it('begin with the file rights of their owner only, below a folder that the gateway id cannot leave', async () => {
    const { log } = openLog(folder);
    log.endpoint(SCHEMA).add(prediction(1));
    await log.close(1000);
    assert.deepEqual(await readdir(folder), ['elec2']);
    const [file = ''] = await segmentsOf(folder);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
  });

  it('are committed by themselves within moments, with the rows of many requests in one commit', async () => {
    const { log, metrics } = openLog(folder);
    const elec2 = log.endpoint(SCHEMA);
    for (let n = 0; n < 100; n += 1) elec2.add(prediction(n));
    const started = performance.now();
    while (metrics.written < 100 && performance.now() - started < 5000)
      await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(metrics.commits, 1);
    assert.equal((await rowsIn(folder)).rows.length, 100, 'they can be read while the log is open');
    await log.close(1000);
  });

  it('drop what does not fit while the disk is slow: added = written + dropped, and the log says how many', async () => {
    const gate = newGate();
    const slow: SegmentDisk = {
      ...realDisk,
      async create(path) {
        const handle = await realDisk.create(path);
        return { ...handle, sync: () => gate.opened.then(() => handle.sync()) };
      },
    };
    const { log, metrics } = openLog(folder, { disk: slow, settings: { memoryBytes: MIB / 4 } });
    const elec2 = log.endpoint(SCHEMA);
    let slowest = 0;
    for (let n = 0; n < 20_000; n += 1) {
      const started = performance.now();
      elec2.add(prediction(n, { rows: 3 }));
      slowest = Math.max(slowest, performance.now() - started);
      if (n % 1000 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.ok(slowest < 1000, 'no addition waits for the disk');
    const before = log.statistics();
    assert.ok(before.dropped > 0 && before.written === 0);
    gate.open();
    await log.flush();
    elec2.add(prediction(20_000));
    await log.close(5000);
    const { added, written, dropped, waiting } = log.statistics();
    assert.deepEqual({ added, waiting }, { added: 60_001, waiting: 0 });
    assert.equal(written + dropped, added);
    const { rows, report } = await rowsIn(folder);
    assert.equal(rows.length, written);
    assert.equal(report.dropped, dropped);
    assert.deepEqual([metrics.written, metrics.dropped], [written, dropped]);
  });

  it('survive a disk that fails: told once, tried again, nothing twice and nothing lost that was in memory', async () => {
    let failing = true;
    let late = false;
    const full: SegmentDisk = {
      ...realDisk,
      async create(path) {
        const handle = await realDisk.create(path);
        const refuse = (): Promise<never> =>
          Promise.reject(Object.assign(new Error('no space left on device'), { code: 'ENOSPC' }));
        return {
          ...handle,
          // Half of it reaches the disk; or all of it, and only the flush fails, and it cannot be cut off either.
          write: (parts, position) =>
            failing ? handle.write(parts.slice(0, 1), position).then(refuse) : handle.write(parts, position),
          sync: () => (late ? refuse() : handle.sync()),
          truncate: (bytes) => (late ? refuse() : handle.truncate(bytes)),
        };
      },
    };
    const { log, metrics, lines } = openLog(folder, { disk: full, settings: { retryMs: 10 } });
    const elec2 = log.endpoint(SCHEMA);
    for (let n = 0; n < 1000; n += 1) elec2.add(prediction(n));
    assert.equal(await log.flush(), false);
    assert.equal(await log.flush(), false);
    assert.equal(log.statistics().waiting, 1000);
    failing = false;
    assert.equal(await log.flush(), true);
    late = true;
    elec2.add(prediction(1000));
    assert.equal(await log.flush(), false);
    late = false;
    assert.equal(await log.flush(), true);
    await log.close(1000);
    assert.equal(
      lines.filter((line) => line.includes('cannot be written')).length,
      2,
      'once for each time it began',
    );
    assert.ok(metrics.failures >= 3);
    const { rows, report } = await rowsIn(folder);
    assert.deepEqual(
      rows.map((row) => row['decision']),
      Array.from({ length: 1001 }, (_, n) => BigInt(n)),
    );
    assert.equal(report.repeatedBlocks, 1, 'the block that was written although its flush failed');
  });

  it('wait for a real folder that cannot be made, and go on once it can', async () => {
    await writeFile(join(folder, 'elec2'), 'a file where the folder should be');
    const { log, lines } = openLog(folder);
    const elec2 = log.endpoint(SCHEMA);
    elec2.add(prediction(1));
    assert.equal(await log.flush(), false);
    assert.equal(lines.length, 1);
    await unlink(join(folder, 'elec2'));
    assert.equal(await log.flush(), true);
    await log.close(1000);
    assert.equal((await rowsIn(folder)).rows.length, 1);
  });

  it('do not hold up the stop when the disk hangs; what was in memory is counted as lost', async () => {
    const gate = newGate();
    const hung: SegmentDisk = {
      ...realDisk,
      create: (path) => gate.opened.then(() => realDisk.create(path)),
    };
    const { log, lines } = openLog(folder, { disk: hung });
    const elec2 = log.endpoint(SCHEMA);
    elec2.add(prediction(1));
    const started = performance.now();
    await log.close(100);
    assert.ok(performance.now() - started < 1000);
    elec2.add(prediction(2));
    const { added, written, dropped } = log.statistics();
    assert.deepEqual({ added, written, dropped }, { added: 2, written: 0, dropped: 2 });
    assert.equal(lines.length, 2, lines.join('; '));
    gate.open();
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(log.statistics().dropped, 2, 'what comes late is not counted twice');
  });

  it('lose a request that comes without its features, and say so once', async () => {
    const { log, lines } = openLog(folder);
    const elec2 = log.endpoint(SCHEMA);
    // A session may have taken the array away.
    const gone: LoggedPrediction = prediction(1, { features: new Float32Array(0) });
    elec2.add(gone);
    elec2.add(gone);
    elec2.add(prediction(2));
    await log.close(1000);
    assert.equal(lines.length, 1);
    const { rows, report } = await rowsIn(folder);
    assert.deepEqual([rows.length, report.dropped], [1, 2]);
  });

  it('rotate by size and by the hour, and lose no row thereby', async () => {
    const clock = new HandClock();
    const { log } = openLog(folder, { clock, settings: { segmentBytes: 128 * 1024 } });
    const elec2 = log.endpoint(SCHEMA);
    for (let n = 0; n < 10_000; n += 1) {
      elec2.add(prediction(n));
      if (n % 500 === 499) await log.flush();
    }
    const bySize = await segmentsOf(folder);
    for (const file of bySize) assert.ok((await stat(file)).size <= 128 * 1024);
    assert.ok(bySize.length >= 4, `${bySize.length} segments`);
    clock.wallMs += 3_600_000;
    elec2.add(prediction(10_000));
    await log.close(1000);
    assert.equal((await segmentsOf(folder)).length, bySize.length + 1);
    const { rows } = await rowsIn(folder);
    assert.deepEqual(
      rows.map((row) => row['decision']),
      Array.from({ length: 10_001 }, (_, n) => BigInt(n)),
    );
  });

  it('begin a new segment when the columns change, after the rows of the former ones', async () => {
    const { log } = openLog(folder);
    const former = log.endpoint(SCHEMA);
    former.add(prediction(1));
    assert.equal(
      log.endpoint(predictionSchema('elec2', FEATURES, ['price', 'demand'])),
      former,
      'the same columns',
    );
    const present = log.endpoint(predictionSchema('elec2', FEATURES, ['demand']));
    former.add(prediction(2));
    present.add(prediction(3));
    await log.close(1000);
    const { rows } = await rowsIn(folder);
    assert.deepEqual(
      rows.map((row) => [row['decision'], row['feature.price']]),
      [
        [1n, 1.25],
        [3n, undefined],
      ],
    );
    const { added, written, dropped } = log.statistics();
    assert.deepEqual({ added, written, dropped }, { added: 3, written: 2, dropped: 1 });
  });

  it('delete their oldest beyond the limit, over all endpoints, and those of no other gateway', async () => {
    const clock = new HandClock();
    const other = openLog(folder, { gatewayId: 'other' });
    other.log.endpoint(SCHEMA).add(prediction(7));
    await other.log.close(1000);
    const [foreign = ''] = await segmentsOf(folder);
    const maxBytes = 60_000;
    const { log } = openLog(folder, { clock, maxBytes });
    const logs = ['elec2', 'two'].map((name) => log.endpoint(predictionSchema(name, FEATURES, ['demand'])));
    const size = async (file: string): Promise<number> => (await stat(file)).size;
    for (let hour = 0; hour < 12; hour += 1) {
      clock.wallMs += 3_600_000;
      for (const endpoint of logs) for (let n = 0; n < 100; n += 1) endpoint.add(prediction(hour * 100 + n));
      await log.flush();
      // Ages are told by the file system's times.
      await new Promise((resolve) => setTimeout(resolve, 15));
    }
    await log.close(1000);
    const files = [...(await segmentsOf(folder)), ...(await segmentsOf(folder, 'two'))];
    assert.ok(files.includes(foreign));
    const own = files.filter((file) => file !== foreign);
    const bytes = (await Promise.all(own.map(size))).reduce((sum, next) => sum + next, 0);
    // Each endpoint may go on writing one segment after the last deletion.
    const largest = Math.max(...(await Promise.all(own.map(size))));
    assert.ok(own.length >= 6 && own.length < 24, `${own.length} segments`);
    assert.ok(bytes <= maxBytes + 2 * largest, `${bytes} bytes`);
    const { rows } = await rowsIn(folder, 'two');
    assert.equal(rows.at(-1)?.['decision'], 1199n);
    assert.ok(Number(rows[0]?.['decision']) > 0, 'the oldest went first');
    assert.equal(rows.length, 1200 - Number(rows[0]?.['decision']), 'and none in between');
  });
});

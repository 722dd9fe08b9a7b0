import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'mocha';
import { SlipwayError } from '../../domain/errors.ts';
import {
  listSegmentFiles,
  newReadReport,
  parseSegmentFileName,
  readSegments,
  segmentFileName,
} from '../../platform/prediction-segments/index.ts';
import { SCHEMA, openLog, prediction, segmentsOf } from '../serving/prediction-log/log-fixture.ts';

describe('segments of the prediction log, read', () => {
  let folder: string;
  let bytes: Buffer;
  /** Where each of the three blocks ends. */
  const ends: number[] = [];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'slipway-segments-'));
    const { log } = openLog(folder);
    const elec2 = log.endpoint(SCHEMA);
    for (let n = 0; n < 3; n += 1) {
      elec2.add(prediction(n));
      await log.flush();
    }
    await log.close(1000);
    bytes = await readFile((await segmentsOf(folder))[0] ?? '');
    for (let at = bytes.indexOf('BLK1'); at < bytes.length; at += bytes.readUInt32LE(at + 4)) {
      ends.push(at + bytes.readUInt32LE(at + 4));
    }
    assert.equal(ends.length, 3);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const read = async (content: Buffer) => {
    const file = join(folder, 'changed.slog');
    await writeFile(file, content);
    const report = newReadReport();
    let blocks = 0;
    for await (const _ of readSegments([file], report)) blocks += 1;
    assert.equal(blocks, report.blocks);
    return report;
  };

  it('end at the last whole block, wherever the file was cut', async () => {
    for (let length = 0; length < bytes.length; length += 1) {
      const report = await read(bytes.subarray(0, length));
      const whole = ends.filter((end) => end <= length).length;
      assert.equal(report.blocks, whole, `cut at ${length}`);
      const atTheEnd = ends.includes(length) || length === bytes.indexOf('BLK1');
      assert.equal(report.torn.length, atTheEnd ? 0 : 1, `cut at ${length}`);
    }
  });

  it('end before a block in which any bit has changed', async () => {
    const [first = 0, second = 0] = ends;
    for (let at = first; at < second; at += 1) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] as number) ^ (1 << (at % 8));
      const report = await read(changed);
      assert.equal(report.blocks, 1, `byte ${at}`);
      assert.equal(report.torn[0]?.ignoredBytes, bytes.length - first);
    }
  });

  it('are refused, not guessed at, with another magic, another version or a damaged header', async () => {
    const refused = async (change: (copy: Buffer) => void, message: RegExp) => {
      const copy = Buffer.from(bytes);
      change(copy);
      await assert.rejects(read(copy), (error) => {
        assert.ok(error instanceof SlipwayError);
        assert.equal(error.code, 'PREDICTION_LOG_INVALID');
        assert.match(error.message, message);
        return true;
      });
    };
    await refused((copy) => copy.write('PAR1'), /changed\.slog is no prediction log segment/);
    await refused((copy) => copy.writeUInt16LE(2, 8), /has format 2, this version of Slipway reads format 1/);
    await refused((copy) => copy.writeUInt32LE(7, 12), /damaged header/);
    await refused((copy) => copy.write('x', 40), /damaged header/);
  });

  it('skip a file that was deleted after it was listed', async () => {
    const report = newReadReport();
    for await (const _ of readSegments([join(folder, 'gone.slog')], report)) assert.fail();
    assert.equal(report.deleted, 1);
  });

  it('have names that tell gateways apart, stay in their folder, and sort as they were written', async () => {
    const gatewayOf = (id: string): string | undefined =>
      parseSegmentFileName(segmentFileName(id, 'ab', 3))?.gateway;
    const ids = ['a', 'a-b', 'a-b-c', '../x', '..', 'host:8301', 'a-ab-000001', ''];
    assert.equal(new Set(ids.map(gatewayOf)).size, ids.length);
    for (const id of [...ids, 'x'.repeat(500)]) {
      const name = segmentFileName(id, '0b0e7c1e-1111-4222-8333-444444444444', 3);
      assert.match(name, /^[^./:][^/:]*$/);
      assert.ok(name.length < 255);
    }
    const own = join(folder, 'order');
    await rm(own, { recursive: true, force: true });
    const { log } = openLog(own);
    log.endpoint(SCHEMA).add(prediction(0));
    await log.close(1000);
    const names = [1_000_000, 2, 999_999].map((number) => segmentFileName('x', 'ab', number));
    for (const name of [...names, 'notes.txt']) await writeFile(join(own, 'elec2', name), '');
    const listed = (await listSegmentFiles(join(own, 'elec2'))).filter(({ gateway }) => gateway === 'x');
    assert.deepEqual(
      listed.map(({ path }) => Number(/(\d+)\.slog/.exec(path)?.[1])),
      [2, 999_999, 1_000_000],
    );
  });
});

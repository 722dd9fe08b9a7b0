import assert from 'node:assert/strict';
import { appendFile, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'mocha';
import { homeLayout } from '../../platform/home.ts';
import { SCHEMA, openLog, prediction, segmentsOf } from '../serving/prediction-log/log-fixture.ts';
import { slipway } from './run-slipway.ts';

describe('slipway predictions', () => {
  let home: string;
  let folder: string;
  before(async () => {
    home = await mkdtemp(join(tmpdir(), 'slipway-cli-log-'));
    folder = homeLayout(home).predictions;
  });
  after(() => rm(home, { recursive: true, force: true }));

  it('says so when there is no log: an empty list, and exit code 3 for an export', async () => {
    assert.deepEqual(JSON.parse((await slipway(['predictions', 'list', '--json'], home)).stdout), {
      segments: [],
    });
    const out = join(home, 'x.parquet');
    const { code, stderr } = await slipway(
      ['predictions', 'export', '--endpoint', 'elec2', '--out', out],
      home,
    );
    assert.equal(code, 3);
    assert.match(stderr, /no prediction log of elec2.*\(NOT_FOUND\)/);
  });

  it('lists and exports the log of its home without a running stack, and says what is missing', async () => {
    const { log } = openLog(folder);
    const elec2 = log.endpoint(SCHEMA);
    for (let n = 0; n < 10; n += 1) elec2.add(prediction(n));
    elec2.add(prediction(10, { features: new Float32Array(1) }));
    await log.close(1000);
    await appendFile((await segmentsOf(folder))[0] ?? '', 'torn');
    const { stdout: list } = await slipway(['predictions', 'list', '--endpoint', 'elec2'], home);
    assert.match(
      list,
      /^elec2 +2026-01-01 00:00:00 +2026-01-01 00:00:00 +10 +1 .*\(4 bytes at the end ignored\)$/m,
    );
    const out = join(home, 'elec2.parquet');
    const command = ['predictions', 'export', '--endpoint', 'elec2', '--out', out];
    const { code, stdout, stderr } = await slipway(command, home);
    assert.equal(code, 0, stderr);
    const { size } = await stat(out);
    assert.ok(stdout.includes(`${out}: 10 rows, ${size} bytes, from 1 segments\n`), stdout);
    assert.match(stdout, /1 rows of this time are missing/);
    assert.match(stderr, /4 bytes at its end/);
    const again = await slipway(command, home);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /is there already; add --force to replace it \(OUTPUT_EXISTS\)/);
    const forced = await slipway([...command, '--force', '--json'], home);
    const { rows, dropped } = JSON.parse(forced.stdout) as Record<string, unknown>;
    assert.deepEqual([rows, dropped], [10, 1]);
  });

  it('refuses an instant without a zone, and a file that is no segment', async () => {
    const command = ['predictions', 'export', '--endpoint', 'other', '--out', join(home, 'other.parquet')];
    const { code, stderr } = await slipway([...command, '--since', '2026-01-01T10:00:00'], home);
    assert.equal(code, 2);
    assert.match(stderr, /An instant looks like/);
    const { log } = openLog(folder);
    log.endpoint({ ...SCHEMA, endpoint: 'other' }).add(prediction(1));
    await log.close(1000);
    await writeFile((await segmentsOf(folder, 'other'))[0] ?? '', 'PAR1 and so on');
    const refused = await slipway(command, home);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /is no prediction log segment \(PREDICTION_LOG_INVALID\)/);
  });
});

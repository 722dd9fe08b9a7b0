import assert from 'node:assert/strict';
import { appendFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'mocha';
import { projectRoot } from '../../../platform/root.ts';
import { runPython } from '../../support/python.ts';
import { SCHEMA, openLog, prediction, rowsIn, segmentsOf } from './log-fixture.ts';

describe('the format of the prediction log', () => {
  it('is what docs/reference/prediction-log.md says: another program reads the same rows', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'slipway-python-'));
    try {
      const { log } = openLog(folder);
      const elec2 = log.endpoint(SCHEMA);
      for (let n = 0; n < 1500; n += 1) {
        elec2.add(prediction(n, { statuses: Uint8Array.of(n % 2 === 0 ? 0 : 9) }));
      }
      elec2.add(prediction(1500, { rows: 5, experiment: 'colours', propensity: 0.05, arm: 'exp:b' }));
      elec2.add(prediction(1501, { outcome: 'invalid', output: null, predictionId: 'ünique\n"id"' }));
      elec2.add(prediction(1502, { features: new Float32Array(1) }));
      await log.close(1000);
      const [file = ''] = await segmentsOf(folder);
      await appendFile(file, 'BLK1 torn');
      const { rows } = await rowsIn(folder);
      const script = join(projectRoot(), 'test/serving/prediction-log/decode_segment.py');
      const lines = (await runPython('python3', [script, file])).trim().split('\n');
      const decoded = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
      assert.deepEqual(decoded.pop(), { dropped: 1, ignored: 9 });
      const expected = rows.map((row) =>
        Object.fromEntries(
          Object.entries(row).map(([name, value]) => [
            name.includes('.') ? name : `fixed.${name}`,
            typeof value === 'bigint' ? Number(value) : value,
          ]),
        ),
      );
      assert.deepEqual(decoded, expected);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

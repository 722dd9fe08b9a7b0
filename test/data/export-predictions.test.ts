import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'mocha';
import { exportPredictions, listPredictions } from '../../data/index.ts';
import { withDuckDB } from '../../data/duckdb.ts';
import { SlipwayError } from '../../domain/errors.ts';
import { predictionSchema } from '../../serving/prediction-log/index.ts';
import {
  BASE_MS,
  FEATURES,
  SCHEMA,
  VERSION,
  openLog,
  prediction,
  uuidOf,
} from '../serving/prediction-log/log-fixture.ts';

describe('the prediction log as Parquet', () => {
  let folder: string;
  let out: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "slipway's-export-"));
    out = join(folder, 'out', 'elec2.parquet');
    const first = openLog(join(folder, 'log'));
    const elec2 = first.log.endpoint(SCHEMA);
    for (let n = 0; n < 5000; n += 1) elec2.add(prediction(n, { statuses: Uint8Array.of(n % 2) }));
    elec2.add(prediction(5000, { features: new Float32Array(1) }));
    await first.log.close(1000);
    // A later start of another gateway, with other columns.
    const second = openLog(join(folder, 'log'), { gatewayId: 'second', bootId: 'second' });
    const changed = [{ name: 'demand' }, { name: 'Demand' }];
    const later = second.log.endpoint(predictionSchema('elec2', changed, ['demand', 'Demand']));
    later.add(
      prediction(6000, {
        rows: 2,
        features: Float32Array.of(1, 2, 3, 4),
        experiment: 'e',
        propensity: 0.5,
        arm: 'exp:b',
      }),
    );
    later.add(prediction(6001, { outcome: 'error', output: null, features: Float32Array.of(NaN, 6) }));
    await second.log.close(1000);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const options = (changes: object = {}) => ({
    folder: join(folder, 'log'),
    endpoint: 'elec2',
    sinceMs: null,
    untilMs: null,
    output: out,
    overwrite: true,
    ...changes,
  });
  const query = (sql: string) =>
    withDuckDB(async (connection) => {
      const file = `read_parquet('${out.replaceAll("'", "''")}')`;
      return (await connection.runAndReadAll(sql.replaceAll('$file', file))).getRowsJson();
    });

  it('has every row that was added, with its values, types and names', async () => {
    const summary = await exportPredictions(options());
    assert.deepEqual([summary.rows, summary.dropped, summary.segments], [5003, 1, 2]);
    assert.deepEqual(await query('SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM $file)'), [
      ['prediction_id', 'VARCHAR'],
      ['row', 'USMALLINT'],
      ['at', 'TIMESTAMP'],
      ['generation', 'UINTEGER'],
      ['arm', 'VARCHAR'],
      ['version', 'VARCHAR'],
      ['experiment', 'VARCHAR'],
      ['propensity', 'FLOAT'],
      ['outcome', 'VARCHAR'],
      ['decision', 'BIGINT'],
      ['score', 'FLOAT'],
      ['latency_us', 'UINTEGER'],
      ['feature_demand', 'FLOAT'],
      ['feature_price', 'FLOAT'],
      ['status_price', 'VARCHAR'],
      ['feature_Demand_2', 'FLOAT'],
    ]);
    const wrong = await query(
      `SELECT count(*) FROM (SELECT *, epoch_ms("at") - ${BASE_MS} AS n FROM $file) WHERE n < 5000 AND NOT coalesce(
         prediction_id = '0190a000-0000-7000-8000-' || lpad(lower(hex(n)), 12, '0') AND "row" = 0 AND generation = 3
         AND arm = 'champion' AND version = '${VERSION}' AND experiment IS NULL AND propensity IS NULL AND outcome = 'ok'
         AND decision = n AND score = ((n % 100)::DOUBLE / 100)::FLOAT AND latency_us = 1500 AND feature_demand = n
         AND feature_price = n + 0.25 AND status_price = if(n % 2 = 0, 'PRESENT', 'NOT_FOUND')
         AND "feature_Demand_2" IS NULL, false)`,
    );
    assert.deepEqual(wrong, [['0']]);
    const last = await query(
      'SELECT * EXCLUDE (version, generation, latency_us) FROM $file ORDER BY "at", prediction_id OFFSET 5000',
    );
    const failed = ['error', null, null, 'NaN', null, null, 6];
    assert.deepEqual(last, [
      [`${uuidOf(6000)}/0`, 0, '2026-01-01 00:00:06', 'exp:b', 'e', 0.5, 'ok', '6000', 0, 1, null, null, 2],
      [
        `${uuidOf(6000)}/1`,
        1,
        '2026-01-01 00:00:06',
        'exp:b',
        'e',
        0.5,
        'ok',
        '6001',
        Math.fround(0.01),
        3,
        null,
        null,
        4,
      ],
      [uuidOf(6001), 0, '2026-01-01 00:00:06.001', 'champion', null, null, ...failed],
    ]);
  });

  it('is cut by time, from an instant on and before another', async () => {
    const { rows } = await exportPredictions(options({ sinceMs: BASE_MS + 10, untilMs: BASE_MS + 4000 }));
    assert.equal(rows, 3990);
    assert.deepEqual(
      await query(`SELECT epoch_ms(min("at")) - ${BASE_MS}, epoch_ms(max("at")) - ${BASE_MS} FROM $file`),
      [['10', '3999']],
    );
  });

  it('replaces no file unless it is told to, and leaves nothing else behind', async () => {
    await writeFile(out, 'mine');
    const refused = (changes: object, code: string) =>
      assert.rejects(
        exportPredictions(options(changes)),
        (error) => error instanceof SlipwayError && error.code === code,
      );
    await refused({ overwrite: false }, 'OUTPUT_EXISTS');
    await refused({ endpoint: 'none' }, 'NOT_FOUND');
    await refused({ sinceMs: BASE_MS + 10_000 }, 'NOT_FOUND');
    assert.deepEqual(await readdir(join(folder, 'out')), ['elec2.parquet']);
    await exportPredictions(options());
    assert.deepEqual(await readdir(join(folder, 'out')), ['elec2.parquet']);
    await exportPredictions(options({ output: join(folder, 'out', 'new.parquet'), overwrite: false }));
    assert.deepEqual((await readdir(join(folder, 'out'))).sort(), ['elec2.parquet', 'new.parquet']);
  });

  it('is the same bytes for the same log', async () => {
    const [one, two] = ['one', 'two'].map((name) => join(folder, `${name}.parquet`));
    await exportPredictions(options({ output: one }));
    await exportPredictions(options({ output: two }));
    const { readFile } = await import('node:fs/promises');
    assert.ok((await readFile(one ?? '')).equals(await readFile(two ?? '')));
  });

  it('is preceded by a list of its segments: rows, losses, time, size', async () => {
    const other = openLog(join(folder, 'log'));
    other.log.endpoint(predictionSchema('two', FEATURES, [])).add(prediction(1));
    await other.log.close(1000);
    const listed = await listPredictions(join(folder, 'log'));
    assert.deepEqual(
      listed.map(({ endpoint, rows, dropped, firstAtMs, lastAtMs, ignoredBytes }) => [
        endpoint,
        rows,
        dropped,
        firstAtMs,
        lastAtMs,
        ignoredBytes,
      ]),
      [
        ['elec2', 5000, 1, BASE_MS, BASE_MS + 4999, 0],
        ['elec2', 3, 0, BASE_MS + 6000, BASE_MS + 6001, 0],
        ['two', 1, 0, BASE_MS + 1, BASE_MS + 1, 0],
      ],
    );
    assert.deepEqual(await listPredictions(join(folder, 'nothing')), []);
  });
});

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { after, before, describe, it } from 'mocha';
import { createSnapshot, readRows } from '../../data/index.ts';
import type { SnapshotOptions } from '../../data/index.ts';
import { SlipwayError } from '../../domain/errors.ts';
import { projectRoot } from '../../platform/root.ts';

const ELEC2 = join(projectRoot(), 'examples', 'elec2');
const TIME = `TIMESTAMP '2020-01-01' + row_number * INTERVAL 1 HOUR AS event_time`;

describe('dataset snapshot', () => {
  let folder: string;
  let file: string;
  let query: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "slipway's data-"));
    file = join(folder, 'small.csv');
    await writeFile(file, 'a,b,y\n1,10,0\n2,20,1\n3,30,1\n4,40,0\n');
    query = `SELECT row_number, ${TIME}, a, b, y FROM source`;
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const snapshot = (options: Partial<SnapshotOptions> = {}) =>
    createSnapshot({
      file,
      query,
      features: ['a', 'b'],
      target: 'y',
      output: join(folder, 'out.parquet'),
      ...options,
    });
  const refused = async (options: Partial<SnapshotOptions>, message: RegExp, code = 'DATA_INVALID') => {
    const output = join(folder, 'refused', 'out.parquet');
    await assert.rejects(snapshot({ output, ...options }), (error) => {
      assert.ok(error instanceof SlipwayError, String(error));
      assert.equal(error.code, code);
      assert.match(error.message, message);
      if (!options.query?.includes('data-'))
        assert.ok(!error.message.includes(folder), 'no path that the caller did not write');
      return true;
    });
    assert.deepEqual(await readdir(join(folder, 'refused')).catch(() => []), [], 'nothing is left behind');
  };

  it('gives the same bytes for the same input, compressed or not, and others for another cut', async () => {
    const query48 = await readFile(join(ELEC2, 'features.sql'), 'utf8');
    const options = {
      file: join(ELEC2, 'elec2.csv.gz'),
      query: query48,
      features: ['nswprice', 'nswdemand_lag_1'],
      target: 'class',
      trainBefore: '1997-05-01T00:00:00Z',
    };
    const first = await snapshot({ ...options, output: join(folder, 'first.parquet') });
    const second = await snapshot({ ...options, output: join(folder, 'second.parquet') });
    assert.deepEqual(first, second);
    const bytes = await readFile(join(folder, 'second.parquet'));
    assert.equal(first.digest, `sha256:${createHash('sha256').update(bytes).digest('hex')}`);
    // 359 days of 48 half-hours, less the first week.
    assert.equal(first.rows, 359 * 48 - 7 * 48);
    assert.equal(first.lastEventMs, Date.parse('1997-04-30T23:30:00Z'));
    const earlier = await snapshot({ ...options, trainBefore: '1997-04-30' });
    assert.equal(earlier.rows, first.rows - 48);
    assert.notEqual(earlier.digest, first.digest);
  });

  it('reads gzip like plain text', async () => {
    const packed = join(folder, 'small.csv.gz');
    await writeFile(packed, gzipSync(await readFile(file)));
    assert.equal((await snapshot({ file: packed })).digest, (await snapshot()).digest);
  });

  it('keeps row numbers, times, values and labels, in time order', async () => {
    const output = join(folder, 'rows.parquet');
    const reversed = `SELECT row_number, TIMESTAMP '2020-01-02' - row_number * INTERVAL 1 HOUR AS event_time, a + 0.1 AS a, b, y FROM source`;
    await snapshot({ query: reversed, output });
    const rows = await readRows(output, ['b', 'a'], 'y');
    assert.equal(rows.count, 4);
    assert.deepEqual([...rows.rowNumbers], [3, 2, 1, 0]);
    assert.equal(rows.eventTimesMs[3], Date.parse('2020-01-02T00:00:00Z'));
    assert.deepEqual([...rows.labels], [0, 1, 1, 0]);
    assert.deepEqual([...rows.values], [40, 4.1, 30, 3.1, 20, 2.1, 10, 1.1].map(Math.fround));
  });

  it('lets a query read its own file and nothing else', async () => {
    const secret = join(folder, 'secret.csv');
    await writeFile(secret, 'a,b,y\n1,2,0\n');
    await refused({ query: `SELECT * FROM read_csv('${secret.replaceAll("'", "''")}')` }, /query failed/);
    await refused({ query: `SELECT * FROM '${file.replaceAll("'", "''")}'` }, /query failed/);
    await refused({ query: `SELECT * FROM read_text('/etc/hostname')` }, /query failed: Permission Error/);
    await refused({ query: `SELECT * FROM glob('/etc/*')` }, /query failed: Permission Error/);
    await refused({ query: `COPY source TO 'stolen.csv'` }, /query failed: Permission Error/);
    await refused({ query: `SELECT 1; SELECT 2` }, /one SELECT/);
    await refused({ query: `SET enable_external_access = true` }, /one SELECT/);
    await refused({ query: `ATTACH 'other.db'` }, /one SELECT/);
    await refused({ query: `INSTALL httpfs` }, /one SELECT/);
    await refused({ query: `DROP TABLE source` }, /one SELECT/);
    await refused({ query: `SELECT 1) ; DROP TABLE source; --` }, /query failed/);
  });

  it('names each column that cannot be used, with the reason', async () => {
    const select = (columns: string) => ({ query: `SELECT row_number, ${TIME}, ${columns} FROM source` });
    await refused(select('a, y'), /column b is missing/);
    await refused({ query: 'SELECT a, b, y FROM source' }, /row_number is missing.*event_time is missing/);
    await refused(
      select(`if(a = 2, NULL, a) AS a, 'nan'::DOUBLE AS b, y`),
      /column a has 1 value.*column b has 4 value/,
    );
    await refused(select(`a, 1e300 * b AS b, y`), /column b has 4 value.*beyond 32-bit/);
    await refused(select(`a::VARCHAR AS a, b, y`), /column a must be numeric, not VARCHAR/);
    await refused(select('a, b, y * 2 AS y'), /column y has 2 value\(s\) other than 0 and 1/);
    await refused({ query: `SELECT 1 AS row_number, ${TIME}, a, b, y FROM source` }, /missing or repeated/);
    await refused({ query: `SELECT row_number, '2020' AS event_time, a, b, y FROM source` }, /TIMESTAMP/);
    await refused({ query: `${query} WHERE a > 9` }, /gives no row/);
    await refused({ trainBefore: '2019-01-01' }, /no row is before/);
    await refused({ query: 'SELEKT 1' }, /query failed: .*Parser Error/);
    await refused({ query: 'SELECT price FROM source' }, /query failed: Binder Error.*price/);
    await refused({ file: join(folder, 'nothing.csv') }, /data file nothing.csv cannot be read/);
    await refused({ trainBefore: 'yesterday' }, /train_before must be an instant/, 'INVALID_PARAMETER');
  });

  it('accepts a query that ends in a comment or a semicolon', async () => {
    const { digest } = await snapshot();
    assert.equal((await snapshot({ query: `${query} -- the end` })).digest, digest);
    assert.equal((await snapshot({ query: `${query} ;\n` })).digest, digest);
  });

  it('stops a query that does not end when it is asked to', async () => {
    const endless = `WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT * FROM n`;
    const reason = new Error('cancelled');
    const stop = new AbortController();
    setTimeout(() => stop.abort(reason), 200);
    const startedAt = performance.now();
    await assert.rejects(snapshot({ query: endless, signal: stop.signal }), (error) => error === reason);
    assert.ok(performance.now() - startedAt < 5000);
  });
});

describe('examples/elec2', () => {
  it('never looks ahead: a row does not change when later rows do', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'slipway-elec2-'));
    try {
      const query = await readFile(join(ELEC2, 'features.sql'), 'utf8');
      const features = (await readFile(join(ELEC2, 'model.yaml'), 'utf8')).match(
        /(?<=^ {4}- \{ name: )\w+(?=, min: )/gm,
      );
      assert.ok(features !== null);
      assert.equal(features.length, 13);
      const lines = gunzipSync(await readFile(join(ELEC2, 'elec2.csv.gz')))
        .toString()
        .trim()
        .split('\n');
      const cut = join(folder, 'cut.csv');
      // 1,000 rows; then the same with every value after row 799 turned round.
      const head = lines.slice(0, 1001);
      const changed = head.map((line, index) => {
        if (index <= 800) return line;
        return line
          .split(',')
          .map((value) => String(1 - Number(value)))
          .join(',');
      });
      const rowsOf = async (content: string[]) => {
        await writeFile(cut, content.join('\n'));
        const output = join(folder, 'out.parquet');
        await createSnapshot({ file: cut, query, features, target: 'class', output });
        return readRows(output, features, 'class');
      };
      const [before, after] = [await rowsOf(head), await rowsOf(changed)];
      const same = before.rowNumbers.filter((row) => row < 800).length;
      assert.equal(same, 800 - 336);
      const width = features.length;
      assert.deepEqual(before.values.slice(0, same * width), after.values.slice(0, same * width));
      assert.notDeepEqual(before.values.slice(same * width), after.values.slice(same * width));
      // The label of a row is none of its own features: turning round the label of the last row changes nothing.
      const turned = head.at(-1)!.replace(/[01]$/, (label) => String(1 - Number(label)));
      const last = [...head.slice(0, -1), turned];
      assert.deepEqual((await rowsOf(last)).values, before.values);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'mocha';
import { rowsIn, segmentsOf } from './log-fixture.ts';

describe('a gateway that is killed', () => {
  it('leaves a readable log with every row up to its last commit, in order, without a gap', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'slipway-crash-'));
    try {
      let certain = 0;
      const child = fork(fileURLToPath(new URL('crashing-writer.main.js', import.meta.url)), [folder]);
      const exited = once(child, 'exit');
      child.on('message', (committed) => {
        certain = Number(committed);
        if (certain > 20_000) child.kill('SIGKILL');
      });
      const [, signal] = (await exited) as [unknown, string];
      assert.equal(signal, 'SIGKILL');
      assert.ok(certain > 20_000);
      // What a power cut leaves of a write that was under way.
      const file = (await segmentsOf(folder)).at(-1) ?? '';
      const whole = await rowsIn(folder);
      await appendFile(file, Buffer.alloc(5000, 'BLK1'));
      const { rows, report } = await rowsIn(folder);
      assert.equal(rows.length, whole.rows.length);
      assert.ok(rows.length >= certain, `${rows.length} rows of ${certain} that were committed`);
      assert.ok(rows.every((row, n) => row['decision'] === BigInt(n)));
      assert.equal(report.torn.length, 1);
      assert.ok((report.torn[0]?.ignoredBytes ?? 0) >= 5000);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

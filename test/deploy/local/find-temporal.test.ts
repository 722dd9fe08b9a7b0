import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, it } from 'mocha';

import { findTemporal } from '../../../deploy/local/find-temporal.ts';
import type { TemporalBinary } from '../../../deploy/local/find-temporal.ts';
import type { ProgressEvent } from '../../../deploy/local/progress.ts';
import { temporaryHome } from '../../support/stack.ts';

describe('finding Temporal', () => {
  let folder: string;
  let events: ProgressEvent[];
  beforeEach(() => {
    folder = temporaryHome();
    events = [];
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const program = (name: string, body: string): void => {
    const path = join(folder, name);
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(path, `#!/bin/sh\n${body}\n`);
    chmodSync(path, 0o755);
  };
  const find = (rest: Partial<Parameters<typeof findTemporal>[0]> = {}): Promise<TemporalBinary> =>
    findTemporal({
      cacheFolder: join(folder, 'cache'),
      searchPath: join(folder, 'path'),
      sources: ['path', 'cache', 'go'],
      onProgress: (event) => events.push(event),
      ...rest,
    });
  /** Stands for Go: what it does to GOBIN is all that is asked of it. */
  const GO =
    'sleep 0.3; echo fetching >&2; printf "#!/bin/sh\\nexit 0\\n" > "$GOBIN/temporal"; chmod +x "$GOBIN/temporal"; echo built >> "$GOBIN/../built"';

  it('prefers the PATH to the cache, and passes over a program that does not run', async () => {
    program('path/temporal', 'exit 0');
    program('cache/bin/temporal-1.5.1', 'exit 0');
    assert.deepEqual(await find(), { path: join(folder, 'path/temporal'), from: 'path' });
    program('path/temporal', 'exit 1');
    assert.deepEqual(await find(), { path: join(folder, 'cache/bin/temporal-1.5.1'), from: 'cache' });
  });

  it('builds once with Go when there is nothing else, also for two that start at once', async () => {
    program('path/go', GO);
    const found = await Promise.all([find(), find()]);
    assert.deepEqual(
      found.map(({ path }) => path),
      Array(2).fill(join(folder, 'cache/bin/temporal-1.5.1')),
    );
    assert.deepEqual(found.map(({ from }) => from).sort(), ['cache', 'go']);
    assert.deepEqual(readdirSync(join(folder, 'cache/bin')).sort(), ['built', 'temporal-1.5.1']);
  });

  it('says what to install when there is no way, with what was tried', async () => {
    program('path/go', 'echo "go: no network" >&2; exit 1');
    await assert.rejects(find(), (error: { code: string; message: string }) => {
      assert.equal(error.code, 'DEPENDENCY_MISSING');
      assert.match(
        error.message,
        /install the Temporal CLI .* install Go .* TEMPORAL_ADDRESS .*go: no network/s,
      );
      return true;
    });
    assert.equal(existsSync(join(folder, 'cache/bin/temporal.lock')), false);
  });

  it('gives a download up that brings nothing, in bounded time', async () => {
    const begin = performance.now();
    const attempt = find({ sources: ['download'], timeoutMsDownloadSilence: 1 });
    await assert.rejects(attempt, { code: 'DEPENDENCY_MISSING' });
    assert.ok(performance.now() - begin < 5000);
    assert.deepEqual(readdirSync(join(folder, 'cache/bin')), []);
  });
});

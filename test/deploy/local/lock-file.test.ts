import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { afterEach, beforeEach, describe, it } from 'mocha';

import { acquireLock, lockHolder, waitForLock } from '../../../deploy/local/lock-file.ts';
import { createPortBook } from '../../../deploy/local/ports.ts';
import { commandLineOf, identify, isRunning, stopProcess } from '../../../deploy/local/process-identity.ts';
import { projectRoot } from '../../../platform/root.ts';
import { temporaryHome } from '../../support/stack.ts';

describe('lock file', () => {
  let folder: string;
  let path: string;
  beforeEach(() => {
    folder = temporaryHome();
    path = join(folder, 'lock');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('is held by one at a time and leaves nothing behind', async () => {
    const lock = await waitForLock(path, () => assert.fail('nobody holds it'));
    const second = acquireLock(path);
    assert.equal(second.held, false);
    assert.equal(lockHolder(path)?.pid, process.pid);
    lock.release();
    assert.equal(acquireLock(path).held, true);
    assert.deepEqual(readdirSync(folder), ['lock']);
  });

  it('is free when its holder is gone, was another process with the same pid, or wrote nonsense', () => {
    for (const content of [
      '{"pid":4194303,"started":"x"}',
      `{"pid":${process.pid},"started":"x"}`,
      '{',
      '',
    ]) {
      writeFileSync(path, content);
      const lock = acquireLock(path);
      assert.ok(lock.held, content);
      lock.release();
    }
  });

  it('goes to exactly one of many processes that find a stale lock', async () => {
    writeFileSync(path, '{"pid":4194303,"started":"x"}');
    const module = pathToFileURL(join(projectRoot(), 'dist/deploy/local/lock-file.js')).href;
    const source = `import { acquireLock } from '${module}';
      process.stdin.once('data', () => { console.log(acquireLock('${path}').held); process.stdin.once('end', () => {}); });`;
    const takers = Array.from({ length: 6 }, () =>
      spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: ['pipe', 'pipe', 'inherit'] }),
    );
    try {
      for (const taker of takers) taker.stdin.write('go\n');
      const answers = await Promise.all(takers.map((taker) => once(taker.stdout, 'data')));
      assert.deepEqual(answers.map(String).filter((answer) => answer.includes('true')).length, 1);
    } finally {
      for (const taker of takers) taker.kill('SIGKILL');
    }
  });
});

describe('process identity', () => {
  it('knows a process from a later one with the same pid, and never signals the latter', async () => {
    const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)', 'marker-of-this-test'], {
      stdio: 'ignore',
    });
    try {
      const identity = identify(child.pid ?? 0) ?? assert.fail();
      assert.ok(commandLineOf(identity.pid)?.endsWith('marker-of-this-test'));
      const later = { pid: identity.pid, started: 'later' };
      assert.equal(await stopProcess(later, [{ signal: 'SIGKILL', waitMs: 1000 }]), true);
      assert.equal(isRunning(identity), true);
      assert.equal(await stopProcess(identity, [{ signal: 'SIGTERM', waitMs: 5000 }]), true);
      assert.equal(identify(identity.pid), undefined);
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('does not take the first process of the system or a nonsensical pid for one of ours', () => {
    for (const pid of [1, 0, -1, Number.NaN, 1.5]) assert.equal(identify(pid), undefined);
  });
});

describe('port book', () => {
  it('gives the preferred port, a free one when it is taken, and none twice', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const taken = (server.address() as AddressInfo).port;
    const book = createPortBook();
    const instead = await book.reserve(taken);
    assert.notEqual(instead, taken);
    await new Promise((resolve) => server.close(resolve));
    assert.equal(await createPortBook().reserve(taken), taken);
    const ports = [instead, await book.reserve(instead), await book.reserve(instead)];
    assert.equal(new Set(ports).size, 3);
  });
});

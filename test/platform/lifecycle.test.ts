import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

import { describe, it } from 'mocha';

import { projectRoot } from '../../platform/root.ts';

const MODULE = pathToFileURL(join(projectRoot(), 'dist/platform/lifecycle.js')).href;

interface Program {
  readonly child: ChildProcess;
  /** Exit code, or the signal that ended it, and everything that it wrote. */
  end(): Promise<{ code: number | null; output: string }>;
}

/** A process that says `up`; `source` may use `lifecycle`. */
async function run(source: string, options = '{}'): Promise<Program> {
  const text = `import { startLifecycle } from '${MODULE}';
    const lifecycle = startLifecycle({ log: (m) => console.log(m.split('\\n')[0]), ...${options} });
    const wait = (ms) => new Promise((r) => setTimeout(r, ms));
    ${source};
    setInterval(() => {}, 1000);
    console.log('up');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', text], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let output = '';
  const up = new Promise<void>((resolve) =>
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (output.includes('up\n')) resolve();
    }),
  );
  const closed = once(child, 'close');
  await up;
  return {
    child,
    async end() {
      await closed;
      return { code: child.exitCode, output: output.replace('up\n', '') };
    },
  };
}

const CLOSERS = `lifecycle.onShutdown('first', () => console.log('first closed'));
  lifecycle.onShutdown('second', async () => { await wait(30); console.log('second closed'); })`;

describe('lifecycle', () => {
  it('closes last-first on a signal and leaves with 0', async () => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      const program = await run(CLOSERS);
      program.child.kill(signal);
      assert.deepEqual(await program.end(), {
        code: 0,
        output: `stopping: ${signal}\nsecond closed\nfirst closed\n`,
      });
    }
  });

  it('closes when the parent closes standard input', async () => {
    const program = await run(CLOSERS, '{ watchParent: true }');
    program.child.stdin?.end();
    const { code, output } = await program.end();
    assert.equal(code, 0);
    assert.match(output, /parent process closed standard input\nsecond closed\nfirst closed/);
  });

  it('goes on closing after a closer that fails, and leaves with 1', async () => {
    const program = await run(`${CLOSERS}; lifecycle.onShutdown('bad', () => { throw new Error('no'); })`);
    program.child.kill('SIGTERM');
    const { code, output } = await program.end();
    assert.equal(code, 1);
    assert.match(output, /bad did not close cleanly: Error: no\nsecond closed\nfirst closed/);
  });

  it('leaves with 1 when a closer hangs, naming it', async () => {
    const program = await run(
      `lifecycle.onShutdown('stuck', () => wait(60000))`,
      '{ timeoutMsShutdown: 100 }',
    );
    program.child.kill('SIGTERM');
    const { code, output } = await program.end();
    assert.equal(code, 1);
    assert.match(output, /stuck did not close within 100 ms/);
  });

  it('closes and leaves with 1 after an error that nobody caught', async () => {
    for (const source of [
      'setTimeout(() => { throw new Error("lost"); }, 10)',
      'setTimeout(() => void Promise.reject(new Error("lost")), 10)',
    ]) {
      const { code, output } = await (await run(`${CLOSERS}; ${source}`)).end();
      assert.equal(code, 1);
      assert.match(
        output,
        /(uncaughtException|unhandledRejection): Error: lost\nstopping: .*\nsecond closed\nfirst closed/,
      );
    }
  });

  it('takes the several SIGINT of one Ctrl-C for one, and a later one for impatience', async () => {
    const program = await run(`lifecycle.onShutdown('slow', () => wait(5000))`);
    program.child.kill('SIGINT');
    await delay(100);
    program.child.kill('SIGINT');
    await delay(1100);
    assert.equal(program.child.exitCode, null);
    program.child.kill('SIGINT');
    assert.equal((await program.end()).code, 130);
  });
});

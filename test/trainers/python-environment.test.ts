import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'mocha';
import { SlipwayError } from '../../domain/errors.ts';
import { stackPaths } from '../../platform/config.ts';
import { ensurePythonEnvironment, findTrainer } from '../../trainers/index.ts';

describe('Python environment', () => {
  let folder: string;
  /** The smallest package of the trainer's own lock file. */
  let requirementsFile: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'slipway-python-'));
    const lock = await readFile(findTrainer('gradient-boosting').requirementsFile, 'utf8');
    const entry = /^typing-extensions==(?:.*\\\n)+.*$/m.exec(lock)?.[0];
    assert.ok(entry !== undefined);
    requirementsFile = join(folder, 'requirements.lock');
    await writeFile(requirementsFile, `${entry}\n`);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const missing = async (promise: Promise<unknown>, message: RegExp): Promise<void> => {
    await assert.rejects(promise, (error) => {
      assert.ok(error instanceof SlipwayError);
      assert.equal(error.code, 'DEPENDENCY_MISSING');
      assert.match(error.message, message);
      return true;
    });
  };

  it('is made once, whole, by one of several that ask at once; with the pinned packages; and mended', async () => {
    const cacheFolder = join(folder, 'cache');
    const messages: string[] = [];
    const options = {
      cacheFolder,
      requirementsFile,
      onProgress: ({ message }: { message: string }) => void messages.push(message),
    };
    const made = await Promise.all([1, 2, 3].map(() => ensurePythonEnvironment(options)));
    assert.deepEqual(
      made.map((one) => one.made).sort((a, b) => Number(a) - Number(b)),
      [false, false, true],
    );
    assert.equal(new Set(made.map(({ python, digest }) => python + digest)).size, 1);
    const { python } = made[0]!;
    const imported = execFileSync(python, ['-I', '-c', 'import typing_extensions as t; print(t.__file__)'], {
      encoding: 'utf8',
    });
    assert.ok(imported.startsWith(cacheFolder), imported);
    assert.ok(messages.some((message) => message.startsWith('Collecting typing-extensions')));
    const entries = await readdir(join(cacheFolder, 'python'));
    assert.deepEqual(entries.length, 1, `neither locks nor halves stay: ${entries.join(' ')}`);

    // As after an upgrade that removed the interpreter; with what a killed maker leaves.
    await rm(python);
    const name = entries[0]!;
    const half = join(cacheFolder, 'python', `${name}.making-999999999-x`);
    await mkdir(half);
    const lock = join(cacheFolder, 'python', `${name}.lock`);
    await writeFile(lock, '');
    const past = new Date(Date.now() - 60_000);
    await utimes(lock, past, past);
    assert.equal((await ensurePythonEnvironment(options)).made, true);
    assert.deepEqual(await readdir(join(cacheFolder, 'python')), [name]);
  });

  it('is not left behind half when a package does not have the pinned bytes', async () => {
    const cacheFolder = join(folder, 'tampered');
    const tampered = join(folder, 'tampered.lock');
    const lock = await readFile(requirementsFile, 'utf8');
    await writeFile(tampered, lock.replaceAll(/sha256:[0-9a-f]{64}/g, `sha256:${'0'.repeat(64)}`));
    await missing(
      ensurePythonEnvironment({ cacheFolder, requirementsFile: tampered }),
      /could not be installed/,
    );
    assert.deepEqual(await readdir(join(cacheFolder, 'python')), []);
  });

  it('says what was found and what to install when there is no usable Python', async () => {
    const old = join(folder, 'python-old');
    await writeFile(old, '#!/bin/sh\necho 3.9.18\n');
    await chmod(old, 0o755);
    const options = { cacheFolder: folder, requirementsFile };
    await missing(ensurePythonEnvironment({ ...options, python: old }), /3\.9\.18 is too old.*Install one/);
    await missing(
      ensurePythonEnvironment({ ...options, python: 'no-such-python' }),
      /not there.*Install one/,
    );
  });

  it('of the reference trainer is found in the cache without being made again', async function () {
    this.timeout(600_000);
    const { requirementsFile: pinned } = findTrainer('gradient-boosting');
    const options = { cacheFolder: stackPaths().cacheFolder, requirementsFile: pinned };
    const first = await ensurePythonEnvironment(options);
    const second = await ensurePythonEnvironment(options);
    assert.deepEqual(second, { ...first, made: false });
  });
});

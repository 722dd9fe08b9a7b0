import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { after, before, describe, it } from 'mocha';

import { projectRoot } from '../../platform/root.ts';
import { temporaryHome } from '../support/stack.ts';

describe('setup script', () => {
  let clone: string;
  before(() => {
    clone = temporaryHome();
    for (const folder of ['scripts', 'cli', 'bin']) mkdirSync(join(clone, folder));
    for (const file of [
      'package.json',
      'package-lock.json',
      'tsconfig.json',
      'scripts/setup.mjs',
      'bin/slipway.js',
    ]) {
      copyFileSync(join(projectRoot(), file), join(clone, file));
    }
    symlinkSync(join(projectRoot(), 'node_modules'), join(clone, 'node_modules'));
    write('console.log(process.argv.slice(2).join("|")); process.exitCode = 5;');
    writeFileSync(join(clone, 'cli', 'gone.ts'), 'export const gone = 1;\n');
  });
  after(() => rmSync(clone, { recursive: true, force: true }));

  const main = (): string => join(clone, 'cli', 'slipway.main.ts');
  const write = (text: string): void => writeFileSync(main(), `${text}\nexport {};\n`);
  function run(...args: string[]): { code: number | null; out: string; err: string } {
    const result = spawnSync(process.execPath, args, { cwd: clone, encoding: 'utf8', timeout: 60_000 });
    return { code: result.status, out: result.stdout, err: result.stderr };
  }
  const setup = (...args: string[]): ReturnType<typeof run> => run('scripts/setup.mjs', ...args);

  it('compiles a fresh clone and hands arguments, standard streams and the exit code through', () => {
    const { code, out, err } = setup('dist/cli/slipway.main.js', 'release', 'elec2', '--param', 'a=b c');
    assert.equal(err, '');
    assert.deepEqual({ code, out }, { code: 5, out: 'release|elec2|--param|a=b c\n' });
    assert.ok(existsSync(join(clone, 'dist', 'cli', 'gone.js')));
  });

  it('is the same through the npm bin', () => {
    const { code, out } = run('bin/slipway.js', 'status', '--json');
    assert.deepEqual({ code, out }, { code: 5, out: 'status|--json\n' });
  });

  it('compiles again when a source changed, and removes what a removed source had become', () => {
    write('console.log("changed");');
    // As git does when it goes back to an older commit.
    utimesSync(main(), new Date(0), new Date(0));
    rmSync(join(clone, 'cli', 'gone.ts'));
    writeFileSync(join(clone, 'dist', 'cli', 'bundle.js'), '// not the compiler’s');
    assert.deepEqual(setup('--', 'dist/cli/slipway.main.js'), { code: 0, out: 'changed\n', err: '' });
    assert.equal(existsSync(join(clone, 'dist', 'cli', 'gone.js')), false);
    assert.equal(existsSync(join(clone, 'dist', 'cli', 'bundle.js')), true);
  });

  it('does not start the compiler when nothing changed, and writes a file again that was lost', () => {
    const begin = performance.now();
    assert.equal(setup().code, 0);
    assert.ok(performance.now() - begin < 1000);
    rmSync(join(clone, 'dist', 'cli', 'slipway.main.js'));
    assert.equal(setup('dist/cli/slipway.main.js').out, 'changed\n');
  });

  it('stops with the message of the compiler at a wrong source, each time', () => {
    write('const n: number = "text"; console.log(n);');
    for (let time = 0; time < 2; time += 1) {
      const { code, out, err } = setup('dist/cli/slipway.main.js');
      assert.equal(code, 1);
      assert.equal(out, '');
      assert.match(err, /compiling failed .*slipway\.main\.ts.*TS2322/s);
    }
  });

  it('refuses an entry that is not there', () => {
    write('console.log("fine");');
    const { code, err } = setup('dist/cli/other.main.js');
    assert.equal(code, 1);
    assert.match(err, /There is no compiled entry dist\/cli\/other\.main\.js/);
  });
});

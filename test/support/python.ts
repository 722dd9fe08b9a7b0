import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { projectRoot } from '../../platform/root.ts';

let made: Promise<string> | null = null;

/**
 * A Python that has `test/requirements.txt` (NumPy, SciPy, model-signing): the independent implementations that tests
 * compare with. Made once in the user's cache folder, with progress on stderr; see `make_venv.py`.
 */
export function scipyPython(): Promise<string> {
  const support = join(projectRoot(), 'test');
  made ??= runPython('python3', [
    join(support, 'support', 'make_venv.py'),
    join(support, 'requirements.txt'),
  ]).then((output) => output.trim());
  return made;
}

/**
 * Runs a script and returns its stdout. Its stderr is passed through.
 * @throws when it can't be started, is killed, or exits with another code than 0.
 */
export function runPython(python: string, args: readonly string[], stdin = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(python, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
    child.on('error', (cause) => {
      reject(new Error(`${python} cannot be started; install Python 3.10 or newer with venv`, { cause }));
    });
    child.on('close', (code, signal) => {
      if (code === 0) resolve(output);
      else reject(new Error(`${python} ${args.join(' ')} ended with ${signal ?? `exit code ${code}`}`));
    });
    // A script that ends before it has read everything is reported by its exit code.
    child.stdin.on('error', () => undefined);
    child.stdin.end(stdin);
  });
}

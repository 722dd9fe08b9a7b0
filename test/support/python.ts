import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { projectRoot } from '../../platform/root.ts';

const made = new Map<string, Promise<string>>();

/**
 * A Python that has `test/requirements.txt` (NumPy, SciPy, model-signing): the independent implementations that tests
 * compare with. Made once in the user's cache folder, with progress on stderr; see `make_venv.py`.
 */
export function scipyPython(): Promise<string> {
  return pythonWith('requirements.txt');
}

/** A Python that has Triton's client for the V2 protocol over HTTP. */
export function tritonClientPython(): Promise<string> {
  return pythonWith('requirements-tritonclient.txt');
}

function pythonWith(requirements: string): Promise<string> {
  const folder = join(projectRoot(), 'test');
  let python = made.get(requirements);
  if (python === undefined) {
    const args = [join(folder, 'support', 'make_venv.py'), join(folder, requirements)];
    python = runPython('python3', args).then((output) => output.trim());
    made.set(requirements, python);
  }
  return python;
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

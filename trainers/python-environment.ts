/**
 * The Python environment of a trainer, made once in the user's cache folder and shared by every stack.
 *
 * It is built under a name of its own and renamed when it is whole, so a reader never sees half of one, whoever dies
 * and however many build at once; the lock only saves the others the work. (A virtual environment may be moved as long
 * as it is used through its interpreter, not through the scripts beside it.) What was downloaded stays in the cache
 * folder: an interrupted install goes on with it.
 */
import { createHash, randomUUID } from 'node:crypto';
import { spawn } from 'node:child_process';
import { access, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SlipwayError } from '../domain/errors.ts';
import { withFileLock } from './file-lock.ts';
import { findPython } from './find-python.ts';

export interface PythonEnvironmentOptions {
  readonly cacheFolder: string;
  /** Packages pinned by version and hash. */
  readonly requirementsFile: string;
  /** Interpreter to build on; with the default name `python3`, other usual names are tried as well. */
  readonly python?: string;
  readonly onProgress?: (progress: { readonly fraction: number; readonly message: string }) => void;
  readonly signal?: AbortSignal;
}

export interface PythonEnvironment {
  /** Absolute path of the interpreter. */
  readonly python: string;
  /** `sha256:<hex>` of the pinned requirements, the Python version and the platform. */
  readonly digest: string;
  readonly pythonVersion: string;
  /** False when it was there already. */
  readonly made: boolean;
}

/** @throws SlipwayError DEPENDENCY_MISSING when there is no usable Python or its packages cannot be installed. */
export async function ensurePythonEnvironment(options: PythonEnvironmentOptions): Promise<PythonEnvironment> {
  const { cacheFolder, requirementsFile, onProgress = () => undefined, signal } = options;
  signal?.throwIfAborted();
  const base = await findPython(options.python ?? 'python3');
  const requirements = await readFile(requirementsFile);
  const hex = createHash('sha256')
    .update(requirements)
    .update(`\0${base.version}\0${process.platform}\0${process.arch}`)
    .digest('hex');
  const root = join(cacheFolder, 'python');
  const name = hex.slice(0, 16);
  const folder = join(root, name);
  const python = join(folder, 'bin', 'python');
  const environment = { python, digest: `sha256:${hex}`, pythonVersion: base.version };
  if (await works(python)) return { ...environment, made: false };

  await mkdir(root, { recursive: true });
  const waiting = (): void =>
    onProgress({ fraction: 0, message: 'waiting for another process that prepares Python' });
  return withFileLock(
    join(root, `${name}.lock`),
    { onWait: waiting, ...(signal && { signal }) },
    async () => {
      if (await works(python)) return { ...environment, made: false };
      await removeLeftovers(root, name);
      const making = join(root, `${name}.making-${process.pid}-${randomUUID()}`);
      try {
        onProgress({ fraction: 0.02, message: `making a virtual environment with Python ${base.version}` });
        await command(base.executable, ['-m', 'venv', making], signal);
        await install(join(making, 'bin', 'python'), requirements, options);
        if (await works(python)) return { ...environment, made: false };
        // What is in the way now is broken.
        await rm(folder, { recursive: true, force: true });
        await rename(making, folder);
      } finally {
        await rm(making, { recursive: true, force: true });
      }
      onProgress({ fraction: 1, message: 'Python is ready' });
      return { ...environment, made: true };
    },
  );
}

async function install(
  python: string,
  requirements: Buffer,
  { cacheFolder, requirementsFile, onProgress, signal }: PythonEnvironmentOptions,
): Promise<void> {
  const total = requirements.toString('utf8').match(/^[\w.-]+==/gm)?.length ?? 1;
  let collected = 0;
  const args = ['-m', 'pip', 'install', '--require-hashes', '--no-deps', '--only-binary=:all:'];
  args.push('--progress-bar=off', '--no-input', '--disable-pip-version-check', '--no-warn-script-location');
  args.push('--cache-dir', join(cacheFolder, 'pip'), '-r', requirementsFile);
  await command(python, args, signal, (line) => {
    if (line.startsWith('Collecting ')) collected++;
    if (!/^(Collecting|Installing collected|\s+Downloading)/.test(line)) return;
    // Collecting is most of the time; installing the rest.
    onProgress?.({ fraction: Math.min(0.05 + (0.7 * collected) / total, 0.8), message: line.trim() });
  });
}

/** A base interpreter that was upgraded or removed leaves an environment that does not start any more. */
async function works(python: string): Promise<boolean> {
  try {
    await access(python);
  } catch {
    // Not there yet: the usual case of a first start.
    return false;
  }
  return new Promise((resolve) => {
    const child = spawn(python, ['-I', '-c', 'import sys'], { stdio: 'ignore' });
    child.once('error', () => resolve(false));
    child.once('close', (code) => resolve(code === 0));
  });
}

/** Of makers that were killed. */
async function removeLeftovers(root: string, name: string): Promise<void> {
  for (const entry of await readdir(root)) {
    const maker = entry.startsWith(`${name}.making-`) ? Number(entry.split('-').at(1)) : undefined;
    if (maker !== undefined && !isAlive(maker)) await rm(join(root, entry), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // EPERM: it lives under another user.
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH');
  }
}

async function command(
  program: string,
  args: readonly string[],
  signal: AbortSignal | undefined,
  onLine: (line: string) => void = () => undefined,
): Promise<void> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], ...(signal && { signal }) });
  let tail = '';
  let rest = '';
  const read = (text: string): void => {
    tail = (tail + text).slice(-4096);
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    lines.forEach(onLine);
  };
  child.stdout.setEncoding('utf8').on('data', read);
  child.stderr.setEncoding('utf8').on('data', read);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code === 0) return;
  const reason = tail
    .split('\n')
    .filter((line) => /error/i.test(line))
    .at(-1);
  throw new SlipwayError(
    'DEPENDENCY_MISSING',
    `the Python packages of the trainer could not be installed (${reason?.trim() ?? `exit code ${code}`}); check the connection to the package index and run again, what was downloaded is kept`,
    { internal: tail },
  );
}

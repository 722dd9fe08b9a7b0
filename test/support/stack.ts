import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Client } from 'pg';

import { migrate } from '../../db/migrate.ts';
import { findTemporal } from '../../deploy/local/find-temporal.ts';
import { createPortBook } from '../../deploy/local/ports.ts';
import { ensureDatabase, preparePostgres, removePostgresData } from '../../deploy/local/postgres-server.ts';
import { progressLine } from '../../deploy/local/progress.ts';
import type { OnProgress } from '../../deploy/local/progress.ts';
import { createSupervisor } from '../../deploy/local/supervisor.ts';
import type { Supervisor } from '../../deploy/local/supervisor.ts';
import { registerSearchAttributes, temporalChild } from '../../deploy/local/temporal-server.ts';
import { stackPaths } from '../../platform/config.ts';

/**
 * One real Temporal and one real PostgreSQL for the whole mocha run, started by the first test that asks and stopped
 * by `mochaGlobalTeardown` of `global.ts`. Tests stay apart by databases of their own and by unique workflow ids.
 */
export interface SharedTemporal {
  readonly address: string;
  readonly namespace: string;
}

export interface FreshDatabase {
  readonly databaseUrl: string;
  /** Ends every connection to it; to be called in `after`, so that a leaked pool is felt by the test that leaked. */
  drop(): Promise<void>;
}

interface Shared {
  readonly home: string;
  readonly supervisor: Supervisor;
  readonly ports: ReturnType<typeof createPortBook>;
}

const NAMESPACE = 'default';
const TEMPLATE = 'slipway_template';

let shared: Shared | undefined;
let temporal: Promise<SharedTemporal> | undefined;
let postgres: Promise<string> | undefined;
let template: Promise<void> | undefined;

function parts(): Shared {
  return (shared ??= makeShared());
}

function makeShared(): Shared {
  const home = temporaryHome();
  return { home, supervisor: createSupervisor({ home }), ports: createPortBook() };
}

/** Enterable by the user that PostgreSQL runs as when the tests run as root. */
export function temporaryHome(): string {
  const home = mkdtempSync(join(tmpdir(), 'slipway-test-'));
  chmodSync(home, 0o711);
  return home;
}

/** A build of Temporal takes minutes: whoever waits for the tests is told. */
export const printProgress: OnProgress = (event) => {
  const line = event.elapsedMs > 2000 || event.state === 'note' ? progressLine(event) : undefined;
  if (line !== undefined) console.error(line);
};

export function sharedTemporal(): Promise<SharedTemporal> {
  return (temporal ??= startTemporal());
}

async function startTemporal(): Promise<SharedTemporal> {
  const { home, supervisor, ports } = parts();
  const binary = await findTemporal({ cacheFolder: stackPaths().cacheFolder, onProgress: printProgress });
  // Any free port: a stack that a developer has running keeps the usual ones.
  const port = await ports.reserve();
  const uiPort = await ports.reserve();
  const child = temporalChild({ binary: binary.path, home, port, uiPort, namespace: NAMESPACE });
  await supervisor.start({ ...child, timeoutMsReady: 60_000 });
  const address = `127.0.0.1:${port}`;
  await registerSearchAttributes(address, NAMESPACE);
  return { address, namespace: NAMESPACE };
}

/** URL of an empty database of the shared server. */
export function sharedPostgres(): Promise<string> {
  return (postgres ??= startPostgres());
}

async function startPostgres(): Promise<string> {
  const { home, supervisor, ports } = parts();
  const server = await preparePostgres({ home, port: await ports.reserve(), durable: false });
  await supervisor.start(server.child);
  await ensureDatabase(server.databaseUrl);
  return server.databaseUrl;
}

async function administer(statement: string): Promise<void> {
  const client = new Client({ connectionString: await sharedPostgres() });
  try {
    await client.connect();
    await client.query(statement);
  } finally {
    await client.end();
  }
}

async function urlOf(database: string): Promise<string> {
  const url = new URL(await sharedPostgres());
  url.pathname = `/${database}`;
  return url.href;
}

async function makeTemplate(): Promise<void> {
  await administer(`create database ${TEMPLATE}`);
  await migrate(await urlOf(TEMPLATE));
}

/** A migrated database that nobody else has: a copy of a template, far quicker than migrating again. */
export async function freshDatabase(): Promise<FreshDatabase> {
  await (template ??= makeTemplate());
  const name = `test_${randomBytes(6).toString('hex')}`;
  await administer(`create database ${name} template ${TEMPLATE} strategy file_copy`);
  return {
    databaseUrl: await urlOf(name),
    drop: () => administer(`drop database if exists ${name} with (force)`),
  };
}

export async function stopShared(): Promise<void> {
  const current = shared;
  shared = temporal = postgres = template = undefined;
  if (current === undefined) return;
  await current.supervisor.stop();
  removePostgresData(current.home);
  rmSync(current.home, { recursive: true, force: true });
}

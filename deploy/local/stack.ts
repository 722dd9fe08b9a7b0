import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { SlipwayError } from '../../domain/errors.ts';
import { inheritedEnvironment } from '../../platform/config.ts';
import type { ExternalServices } from '../../platform/config.ts';
import { homeLayout } from '../../platform/home.ts';
import { projectRoot } from '../../platform/root.ts';
import { findTemporal } from './find-temporal.ts';
import { acquireLock, waitForLock } from './lock-file.ts';
import { createPortBook, LOOPBACK, PREFERRED_PORTS } from './ports.ts';
import type { PortBook } from './ports.ts';
import { databaseAnswers, ensureDatabase, preparePostgres } from './postgres-server.ts';
import { identify } from './process-identity.ts';
import { stopSurvivors } from './process-record.ts';
import { withProgress } from './progress.ts';
import type { OnProgress } from './progress.ts';
import { findRunningStack, removeStackFile, writeStackFile } from './stack-file.ts';
import type { StackInfo } from './stack-file.ts';
import { STACK_PROCESSES } from './stack-processes.ts';
import type { StackAddresses, StackProcess } from './stack-processes.ts';
import { createSupervisor } from './supervisor.ts';
import type { Supervisor } from './supervisor.ts';
import { registerSearchAttributes, temporalAnswers, temporalChild } from './temporal-server.ts';

export interface StartStackOptions {
  readonly home: string;
  readonly cacheFolder: string;
  readonly external: ExternalServices;
  /** Brings the schema of the database to this version; safe to repeat. */
  readonly migrate: (databaseUrl: string) => Promise<void>;
  readonly onProgress: OnProgress;
  readonly processes?: readonly StackProcess[];
  /** False for tests: PostgreSQL without fsync. */
  readonly durable?: boolean;
}

export interface RunningStack {
  /** As it is now: pids change when processes are restarted. */
  readonly info: StackInfo;
  /** Stops all that this stack started, last-first, and removes `stack.json`. Safe to repeat. */
  stop(): Promise<void>;
  /** Stops a process in order and starts it again; resolves when it is ready. */
  restart(name: string): Promise<void>;
  /** SIGKILL; the supervisor starts it again. */
  kill(name: string): void;
  /** Stops a process until `resume`. */
  halt(name: string): Promise<void>;
  resume(name: string): Promise<void>;
  /** Resolves when the process is ready (again). */
  whenReady(name: string, timeoutMs?: number): Promise<void>;
}

const TEMPORAL_READY_MS = 60_000;

/**
 * Starts Temporal and PostgreSQL, migrates, then starts Slipway's own processes.
 * @throws SlipwayError STACK_ALREADY_RUNNING, DEPENDENCY_MISSING, UNAVAILABLE; nothing is left running then.
 */
export async function startStack(given: StartStackOptions): Promise<RunningStack> {
  const options = { ...given, home: resolve(given.home) };
  const { home, onProgress } = options;
  mkdirSync(home, { recursive: true });
  const lock = acquireLock(join(home, 'stack.lock'));
  if (!lock.held) throw alreadyRunning(home, lock.holder.pid);
  let supervisor: Supervisor | undefined;
  try {
    removeStackFile(home);
    const stopped = await stopSurvivors(home);
    if (stopped.length > 0)
      note(onProgress, `stopped what a killed stack left running: ${stopped.join(', ')}`);
    let update: () => void = () => undefined;
    supervisor = createSupervisor({
      home,
      onEvent: (child, event) => {
        note(onProgress, `${child}: ${event}`);
        update();
      },
    });
    const info = await startParts(options, supervisor);
    const running = supervisor;
    const current = (): StackInfo => ({ ...info, pids: pidsOf(running) });
    update = () => writeStackFile(home, current());
    update();
    let stopping: Promise<void> | undefined;
    const stop = async (): Promise<void> => {
      update = () => undefined;
      removeStackFile(home);
      await running.stop().finally(() => lock.release());
    };
    return {
      get info() {
        return current();
      },
      stop: () => (stopping ??= stop()),
      restart: (name) => running.child(name).restart(),
      kill: (name) => running.child(name).kill(),
      halt: (name) => running.child(name).stop(),
      resume: (name) => running.child(name).start(),
      whenReady: (name, timeoutMs) => running.child(name).whenReady(timeoutMs),
    };
  } catch (error) {
    await supervisor?.stop().catch((failure: unknown) => note(onProgress, String(failure)));
    lock.release();
    throw error;
  }
}

function note(onProgress: OnProgress, detail: string): void {
  onProgress({ step: 'stack', state: 'note', elapsedMs: 0, detail });
}

function pidsOf(supervisor: Supervisor): Record<string, number> {
  const children = supervisor.children.flatMap((child) =>
    child.pid === undefined ? [] : [[child.name, child.pid]],
  );
  return Object.fromEntries([['supervisor', process.pid], ...children]) as Record<string, number>;
}

function alreadyRunning(home: string, pid: number): SlipwayError {
  const info = findRunningStack(home);
  const where =
    info === undefined
      ? 'it is starting or stopping'
      : `API ${info.api}, gateway ${info.gateway}${info.temporalUi === undefined ? '' : `, Temporal ${info.temporalUi}`}`;
  return new SlipwayError(
    'STACK_ALREADY_RUNNING',
    `A stack is running in ${home} (pid ${pid}): ${where}. Use it, stop it, or set SLIPWAY_HOME to another folder.`,
  );
}

async function startParts(options: StartStackOptions, supervisor: Supervisor): Promise<StackInfo> {
  const { onProgress, cacheFolder } = options;
  const externalTemporal = await answeringTemporal(options);
  const externalDatabase = await answeringDatabase(options);
  // Before the lock: getting it may take minutes.
  const binary =
    externalTemporal === undefined ? (await findTemporal({ cacheFolder, onProgress })).path : undefined;
  // A port is free until somebody binds it, so stacks of one user choose and bind theirs one after the other.
  const starting = await waitForLock(join(cacheFolder, 'start.lock'), ({ pid }) =>
    note(onProgress, `waiting for another stack to start (pid ${pid})`),
  );
  try {
    const book = createPortBook();
    const [temporal, databaseUrl] = await settledAll([
      binary === undefined
        ? Promise.resolve({ address: externalTemporal ?? '', ui: undefined })
        : startTemporal(options, supervisor, binary, book),
      externalDatabase === undefined
        ? startPostgres(options, supervisor, book)
        : Promise.resolve(externalDatabase),
    ]);
    await withProgress(onProgress, 'registering search attributes', () =>
      registerSearchAttributes(temporal.address, options.external.namespace),
    );
    await withProgress(onProgress, 'migrating the database', () => options.migrate(databaseUrl));
    return await startProcesses(options, supervisor, book, { temporal, databaseUrl });
  } finally {
    starting.release();
  }
}

/** Like Promise.all, but nothing is still under way when it rejects: what follows a failure is stopping everything. */
async function settledAll<A, B>(promises: readonly [Promise<A>, Promise<B>]): Promise<[A, B]> {
  await Promise.allSettled(promises);
  return await Promise.all(promises);
}

async function answeringTemporal({ external, onProgress }: StartStackOptions): Promise<string | undefined> {
  const { temporalAddress, namespace } = external;
  if (temporalAddress === undefined) return undefined;
  if (await temporalAnswers(temporalAddress, namespace, 5000)) return temporalAddress;
  note(
    onProgress,
    `TEMPORAL_ADDRESS ${temporalAddress} has no namespace "${namespace}" that answers: starting a private Temporal`,
  );
  return undefined;
}

async function answeringDatabase({ external, onProgress }: StartStackOptions): Promise<string | undefined> {
  const { databaseUrl } = external;
  if (databaseUrl === undefined) return undefined;
  if (await databaseAnswers(databaseUrl)) return databaseUrl;
  note(
    onProgress,
    `DATABASE_URL (${new URL(databaseUrl).host}) does not answer: starting a private PostgreSQL`,
  );
  return undefined;
}

interface TemporalPlace {
  readonly address: string;
  readonly ui: string | undefined;
}

async function startTemporal(
  { home, external, onProgress }: StartStackOptions,
  supervisor: Supervisor,
  binary: string,
  book: PortBook,
): Promise<TemporalPlace> {
  const port = await book.reserve(PREFERRED_PORTS.temporal);
  const uiPort = await book.reserve(PREFERRED_PORTS.temporalUi);
  const child = temporalChild({ binary, home, port, uiPort, namespace: external.namespace });
  await withProgress(onProgress, 'starting Temporal', () =>
    supervisor.start({ ...child, timeoutMsReady: TEMPORAL_READY_MS }),
  );
  return { address: `${LOOPBACK}:${port}`, ui: `http://${LOOPBACK}:${uiPort}` };
}

async function startPostgres(
  { home, durable, onProgress }: StartStackOptions,
  supervisor: Supervisor,
  book: PortBook,
): Promise<string> {
  const port = await book.reserve(PREFERRED_PORTS.postgres);
  return await withProgress(onProgress, 'starting PostgreSQL', async () => {
    const server = await preparePostgres({ home, port, durable: durable ?? true });
    await supervisor.start(server.child);
    await ensureDatabase(server.databaseUrl);
    return server.databaseUrl;
  });
}

async function startProcesses(
  options: StartStackOptions,
  supervisor: Supervisor,
  book: PortBook,
  { temporal, databaseUrl }: { temporal: TemporalPlace; databaseUrl: string },
): Promise<StackInfo> {
  const { home, external, onProgress, cacheFolder } = options;
  const processes = options.processes ?? STACK_PROCESSES;
  const ports = new Map<string, number>();
  for (const { name, preferredPort } of processes) ports.set(name, await book.reserve(preferredPort));
  const url = (name: string): string => {
    const port = ports.get(name);
    if (port === undefined) throw new SlipwayError('INTERNAL', `The stack has no process named "${name}".`);
    return `http://${LOOPBACK}:${port}`;
  };
  const { namespace } = external;
  const addresses: StackAddresses = {
    temporalAddress: temporal.address,
    namespace,
    databaseUrl,
    api: url('api'),
    gateway: url('gateway'),
  };
  const start = ({ name, entry, portKey, env }: StackProcess): Promise<unknown> =>
    supervisor.start({
      name,
      command: process.execPath,
      // The home is only there for whoever looks at the list of processes.
      args: ['--enable-source-maps', join(projectRoot(), entry), `--home=${home}`],
      env: inheritedEnvironment({
        SLIPWAY_HOME: home,
        SLIPWAY_CACHE: cacheFolder,
        SLIPWAY_HOST: LOOPBACK,
        SLIPWAY_WATCH_PARENT: '1',
        DATABASE_URL: databaseUrl,
        TEMPORAL_ADDRESS: temporal.address,
        TEMPORAL_NAMESPACE: namespace,
        ...env?.(addresses),
        [portKey]: String(ports.get(name)),
      }),
      ready: { url: `${url(name)}/health/ready` },
      timeoutMsReady: 60_000,
      graceMs: 15_000,
    });
  await withProgress(onProgress, `starting ${processes.map((one) => one.name).join(', ')}`, () =>
    Promise.all(processes.map(start)),
  );
  const supervisorIdentity = identify(process.pid);
  if (supervisorIdentity === undefined)
    throw new SlipwayError('INTERNAL', 'This process cannot be identified.');
  return {
    ...addresses,
    ...(temporal.ui === undefined ? {} : { temporalUi: temporal.ui }),
    tokenFile: homeLayout(home).tokenFile,
    pids: {},
    supervisor: supervisorIdentity,
  };
}

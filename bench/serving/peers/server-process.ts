/** A server under test: started pinned to one core, waited for, stopped by its pid. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createWriteStream, readFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { basename } from 'node:path';

const READY_MS = 90_000;
const STOP_MS = 15_000;
const POLL_MS = 100;
const LOG_TAIL = 12_000;

export interface ServerProcess {
  readonly pid: number;
  readonly port: number;
  readonly child: ChildProcess;
  stop(): Promise<void>;
}

export interface StartOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** The whole environment; nothing is inherited when it is given. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly folder?: string;
  readonly logFile: string;
  /** Null where there is no `taskset`, or one core only. */
  readonly core: number | null;
  /** It has a channel, and ends when that is closed. */
  readonly forked?: boolean;
}

const children = new Set<ChildProcess>();

/** Foreign servers outlive whoever started them; a benchmark that is interrupted takes them along. */
process.once('exit', () => {
  for (const child of children) child.kill('SIGTERM');
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

function launch(options: StartOptions): ChildProcess {
  const { core, command, args } = options;
  const [program, rest] =
    core === null ? [command, args] : ['taskset', ['-c', String(core), command, ...args]];
  const child = spawn(program, rest, {
    stdio: ['ignore', 'pipe', 'pipe', ...(options.forked === true ? (['ipc'] as const) : [])],
    ...(options.environment && { env: options.environment }),
    ...(options.folder !== undefined && { cwd: options.folder }),
  });
  children.add(child);
  child.once('exit', () => children.delete(child));
  const log = createWriteStream(options.logFile);
  child.stdout?.pipe(log, { end: false });
  child.stderr?.pipe(log, { end: false });
  return child;
}

/** One of our own programs, which sends its port when it is ready. */
export async function startForked(options: Omit<StartOptions, 'forked'>): Promise<ServerProcess> {
  const child = launch({ ...options, forked: true });
  const ended = new AbortController();
  const onExit = (): void => {
    console.error(readFileSync(options.logFile, 'utf8').slice(-LOG_TAIL));
    ended.abort(new Error('it ended instead of starting'));
  };
  child.once('exit', onExit);
  const [port] = (await once(child, 'message', { signal: ended.signal })) as [number];
  child.off('exit', onExit);
  return running(child, port);
}

/** A foreign server that is ready when the V2 health path says so. */
export async function startServer(
  port: number,
  model: string,
  options: StartOptions,
): Promise<ServerProcess> {
  const child = launch(options);
  const server = running(child, port);
  const end = performance.now() + READY_MS;
  while (!(await isReady(`http://127.0.0.1:${port}/v2/models/${model}/ready`))) {
    if (child.exitCode === null && child.signalCode === null && performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      continue;
    }
    await server.stop();
    console.error(readFileSync(options.logFile, 'utf8').slice(-LOG_TAIL));
    throw new Error(`${basename(options.command)} did not become ready`);
  }
  return server;
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function isReady(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { headers: { connection: 'close' } });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    // Not listening yet.
    return false;
  }
}

function running(child: ChildProcess, port: number): ServerProcess {
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    if (child.connected) child.disconnect();
    else child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await exited;
    clearTimeout(late);
  };
  return { pid: child.pid ?? NaN, port, child, stop };
}

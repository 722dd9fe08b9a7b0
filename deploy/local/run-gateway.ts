import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';

import { SlipwayError } from '../../domain/errors.ts';
import { inheritedEnvironment } from '../../platform/config.ts';
import { projectRoot } from '../../platform/root.ts';
import { accepts, createPortBook, LOOPBACK, PREFERRED_PORTS } from './ports.ts';

export interface RunGatewayOptions {
  readonly home: string;
  readonly databaseUrl: string;
  readonly host: string;
  /** Any free one near the usual when undefined. */
  readonly port: number | undefined;
  /** What the environment says when undefined. */
  readonly processes: { readonly min: number; readonly max: number } | undefined;
  readonly onStart: (gateway: { readonly port: number; readonly pid: number }) => void;
}

const ACCEPT_MS = 1000;

/**
 * A gateway in the foreground, beside or without a stack; resolves with its exit code. It gets a session of its own,
 * so that the signals of a terminal reach it once, through this process.
 */
export async function runGateway(options: RunGatewayOptions): Promise<number> {
  const { home, databaseUrl, host, processes, onStart } = options;
  const port = await choosePort(options);
  const child = spawn(
    process.execPath,
    ['--enable-source-maps', join(projectRoot(), 'dist/serving/gateway.main.js'), `--home=${home}`],
    {
      env: inheritedEnvironment({
        SLIPWAY_HOME: home,
        SLIPWAY_HOST: host,
        SLIPWAY_GATEWAY_PORT: String(port),
        SLIPWAY_WATCH_PARENT: '1',
        DATABASE_URL: databaseUrl,
        ...(processes === undefined
          ? {}
          : {
              SLIPWAY_GATEWAY_PROCESSES_MIN: String(processes.min),
              SLIPWAY_GATEWAY_PROCESSES_MAX: String(processes.max),
            }),
      }),
      stdio: ['pipe', 'inherit', 'inherit'],
      detached: true,
    },
  );
  const stop = (): void => void child.kill('SIGTERM');
  // The same signal means "restart" from a script and "the terminal is gone" from a terminal.
  const hangUp = (): void => void child.kill(terminalIsGone() ? 'SIGTERM' : 'SIGHUP');
  process.on('SIGTERM', stop).on('SIGINT', stop).on('SIGHUP', hangUp);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('spawn', () => onStart({ port, pid: process.pid }));
      child.once('exit', (code) => resolve(code ?? 1));
    });
  } finally {
    process.off('SIGTERM', stop).off('SIGINT', stop).off('SIGHUP', hangUp);
  }
}

async function choosePort({ host, port }: RunGatewayOptions): Promise<number> {
  if (port === undefined) return await createPortBook().reserve(PREFERRED_PORTS.gateway);
  const reachable = host === '0.0.0.0' || host === '::' ? LOOPBACK : host;
  if (await accepts(reachable, port, ACCEPT_MS)) {
    throw new SlipwayError(
      'CONFIG_INVALID',
      `Port ${port} is taken by another program; give another one with --port, or leave it out for a free one.`,
    );
  }
  return port;
}

function terminalIsGone(): boolean {
  if (!process.stdin.isTTY) return false;
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return false;
  } catch {
    return true; // whatever the reason: there is nobody to read what the gateway says
  }
}

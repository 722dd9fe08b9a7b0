import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { Connection } from '@temporalio/client';

import { SlipwayError } from '../../domain/errors.ts';
import { inheritedEnvironment } from '../../platform/config.ts';
import { accepts, LOOPBACK } from './ports.ts';
import type { ChildSpec } from './supervised-child.ts';

/** IndexedValueType of the API: the attributes that releases are found by are exact words. */
const KEYWORD = 2;
const SERVING = 1;
const SEARCH_ATTRIBUTES = ['SlipwayModel', 'SlipwayVersion', 'SlipwayPhase', 'SlipwayOutcome'] as const;

export interface TemporalServerOptions {
  readonly binary: string;
  readonly home: string;
  readonly port: number;
  readonly uiPort: number;
  readonly namespace: string;
}

/**
 * The development server's defaults are slow: 101 ms per sequential activity and timers rounded up to a second come
 * from rate limits, and its database writes a rollback journal. These values make that 16–21 ms.
 */
const FAST = [
  ['--sqlite-pragma', 'journal_mode=wal'],
  ['--sqlite-pragma', 'synchronous=normal'],
  ['--dynamic-config-value', 'history.transferProcessorMaxPollRPS=1000'],
  ['--dynamic-config-value', 'history.timerProcessorMaxPollRPS=1000'],
  ['--dynamic-config-value', 'history.timerProcessorMaxTimeShift="20ms"'],
].flat();

function temporalDatabaseFile(home: string): string {
  return join(home, 'temporal', 'temporal.db');
}

export function temporalChild(options: TemporalServerOptions): ChildSpec {
  const databaseFile = temporalDatabaseFile(options.home);
  mkdirSync(join(options.home, 'temporal'), { recursive: true, mode: 0o700 });
  const address = `${LOOPBACK}:${options.port}`;
  return {
    name: 'temporal',
    command: options.binary,
    args: [
      ['server', 'start-dev'],
      ['--ip', LOOPBACK, '--port', String(options.port), '--ui-port', String(options.uiPort)],
      ['--namespace', options.namespace, '--db-filename', databaseFile],
      ['--log-format', 'json', '--log-level', 'warn'],
      FAST,
    ].flat(),
    env: inheritedEnvironment(),
    ready: { probe: () => temporalAnswers(address, options.namespace) },
    graceMs: 10_000,
  };
}

/** Whether the frontend is serving and the namespace is there (it is made a moment after the server is up). */
export async function temporalAnswers(
  address: string,
  namespace: string,
  timeoutMs = 2000,
): Promise<boolean> {
  // gRPC waits a second after a refused connection before it tries again: most of the time that a start takes.
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
  if (!(await accepts(host, Number(address.slice(colon + 1)), timeoutMs))) return false;
  let connection: Connection;
  try {
    connection = await Connection.connect({ address, connectTimeout: timeoutMs });
  } catch {
    return false; // not (yet) there; the caller knows how long that is fine
  }
  try {
    return await connection.withDeadline(Date.now() + timeoutMs, async () => {
      const health = await connection.healthService.check({
        service: 'temporal.api.workflowservice.v1.WorkflowService',
      });
      const status: number = health.status;
      if (status !== SERVING) return false;
      await connection.workflowService.describeNamespace({ namespace });
      return true;
    });
  } catch {
    return false;
  } finally {
    await connection.close();
  }
}

/**
 * Through the operator service, because the server's flag is ignored once the database file exists. Safe to repeat
 * and to run from two processes: what counts is that all are listed at the end.
 */
export async function registerSearchAttributes(address: string, namespace: string): Promise<void> {
  const connection = await Connection.connect({ address, connectTimeout: 5000 });
  try {
    const missing = async (): Promise<string[]> => {
      const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
      const wrong = SEARCH_ATTRIBUTES.filter(
        (name) => ![undefined, null, KEYWORD].includes(customAttributes?.[name]),
      );
      if (wrong.length > 0) {
        throw new SlipwayError(
          'CONFIG_INVALID',
          `Temporal's namespace "${namespace}" has ${wrong.join(', ')} with a type other than Keyword; use another namespace (TEMPORAL_NAMESPACE).`,
        );
      }
      return SEARCH_ATTRIBUTES.filter((name) => Number(customAttributes?.[name]) !== KEYWORD);
    };
    const deadline = performance.now() + 10_000;
    for (let left = await missing(); left.length > 0; left = await missing()) {
      await addAttributes(connection, namespace, left, performance.now() > deadline);
      await delay(25);
    }
  } finally {
    await connection.close();
  }
}

async function addAttributes(
  connection: Connection,
  namespace: string,
  names: string[],
  last: boolean,
): Promise<void> {
  const searchAttributes = Object.fromEntries(names.map((name) => [name, KEYWORD] as const));
  try {
    await connection.operatorService.addSearchAttributes({ namespace, searchAttributes });
  } catch (error) {
    // Another process may be adding them: the list decides, until the time is up.
    if (last) {
      throw new SlipwayError('UNAVAILABLE', 'Temporal did not register the search attributes of Slipway.', {
        cause: error,
      });
    }
  }
}

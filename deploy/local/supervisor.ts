import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { SlipwayError } from '../../domain/errors.ts';
import { projectRoot } from '../../platform/root.ts';
import { isErrno } from './atomic-file.ts';
import { identify } from './process-identity.ts';
import { recordProcesses } from './process-record.ts';
import type { RecordedProcess } from './process-record.ts';
import { superviseChild } from './supervised-child.ts';
import type { ChildSpec, SupervisedChild } from './supervised-child.ts';

/**
 * Starts child processes, restarts those that crash, and stops them last-first.
 *
 * Children get a session of their own, so Ctrl-C in the terminal reaches only the supervisor, which then stops them
 * in order; else PostgreSQL would be gone before the gateway had written its last windows. Three nets catch a child
 * whose supervisor died: its own watch of standard input, the reaper, and the record that the next start reads.
 */
export interface Supervisor {
  /** Resolves when the child is ready; rejects with the end of its log when it is not. */
  start(spec: ChildSpec): Promise<SupervisedChild>;
  child(name: string): SupervisedChild;
  readonly children: readonly SupervisedChild[];
  /** Stops everything, last-first. Safe to repeat. */
  stop(): Promise<void>;
}

export interface SupervisorOptions {
  /** Holds `logs/` and the record of processes. */
  readonly home: string;
  readonly onEvent?: (child: string, event: string) => void;
}

interface Reaper {
  tell(message: Record<string, unknown>): void;
  dismiss(): Promise<void>;
}

function startReaper(): Reaper {
  const entry = join(projectRoot(), 'dist', 'deploy', 'local', 'reaper.main.js');
  const child: ChildProcess = spawn(process.execPath, [entry], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    cwd: '/',
  });
  // If it cannot run, the record of processes still lets the next start clean up.
  child.on('error', () => undefined);
  child.stdin?.on('error', () => undefined);
  child.unref();
  return {
    tell: (message) => void child.stdin?.write(`${JSON.stringify(message)}\n`),
    dismiss: () =>
      new Promise((resolve) => {
        if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return resolve();
        child.ref();
        child.once('exit', () => resolve());
        child.stdin?.end();
      }),
  };
}

export function createSupervisor(options: SupervisorOptions): Supervisor {
  mkdirSync(join(options.home, 'logs'), { recursive: true });
  const reaper = startReaper();
  const children: SupervisedChild[] = [];
  let records: readonly RecordedProcess[] = [];
  let stopping: Promise<void> | undefined;

  const spawned = (spec: ChildSpec, pid: number): void => {
    const identity = identify(pid);
    if (identity === undefined) return; // it has ended already
    const signal = spec.stopSignal ?? 'SIGTERM';
    records = [...records, { ...identity, name: spec.name, signal }];
    reaper.tell({ add: { ...identity, signal, graceMs: spec.graceMs ?? 10_000 } });
    recordProcesses(options.home, records);
  };
  const ended = (pid: number): void => {
    records = records.filter((record) => record.pid !== pid);
    reaper.tell({ remove: pid });
    try {
      recordProcesses(options.home, records);
    } catch (error) {
      // Somebody removed the home while its stack ran: there will be no next start to leave the record for.
      if (!isErrno(error, 'ENOENT')) throw error;
    }
  };

  const stopAll = async (): Promise<void> => {
    const failures: unknown[] = [];
    for (const child of children.toReversed()) {
      try {
        await child.stop();
      } catch (error) {
        failures.push(error);
      }
      child.close();
    }
    await reaper.dismiss();
    if (failures.length > 0) throw new AggregateError(failures, 'some processes did not stop');
  };

  return {
    children,
    async start(spec) {
      if (stopping !== undefined) throw new SlipwayError('UNAVAILABLE', 'The stack is stopping.');
      if (children.some((child) => child.name === spec.name)) {
        throw new SlipwayError('INTERNAL', `There is a child named ${spec.name} already.`);
      }
      const child = superviseChild(spec, {
        logFile: join(options.home, 'logs', `${spec.name}.log`),
        spawned: (pid) => spawned(spec, pid),
        ended,
        onEvent: (event) => options.onEvent?.(spec.name, event),
      });
      children.push(child);
      try {
        await child.start();
      } catch (error) {
        await child.stop();
        child.close();
        children.splice(children.indexOf(child), 1);
        throw error;
      }
      return child;
    },
    child(name) {
      const child = children.find((candidate) => candidate.name === name);
      if (child !== undefined) return child;
      const names = children.map((candidate) => candidate.name).join(', ');
      throw new SlipwayError(
        'NOT_FOUND',
        `There is no process "${name}" in this stack; there are: ${names}.`,
      );
    },
    stop: () => (stopping ??= stopAll()),
  };
}

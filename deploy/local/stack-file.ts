import { rmSync } from 'node:fs';
import { join } from 'node:path';

import { isRecord, readJsonFile, writeFileAtomic } from './atomic-file.ts';
import { isRunning } from './process-identity.ts';
import type { ProcessIdentity } from './process-identity.ts';

/** How a running stack is found: `<home>/stack.json`, mode 0600, for it holds the password of the database. */
export interface StackInfo {
  readonly temporalAddress: string;
  /** Absent when Temporal is not ours: where its UI is, is not known then. */
  readonly temporalUi?: string;
  readonly namespace: string;
  readonly api: string;
  readonly gateway: string;
  readonly databaseUrl: string;
  /** Bearer token for the API; the API makes it on its first start. */
  readonly tokenFile: string;
  /** By the name of the process; a process that was restarted has another pid by now. */
  readonly pids: Readonly<Record<string, number>>;
  /** The process that holds the stack; the stack runs exactly as long as it does. */
  readonly supervisor: ProcessIdentity;
}

const fileOf = (home: string): string => join(home, 'stack.json');
const TEXTS = ['temporalAddress', 'namespace', 'api', 'gateway', 'databaseUrl', 'tokenFile'] as const;

function isStackInfo(value: unknown): value is StackInfo {
  if (!isRecord(value) || !isRecord(value.supervisor) || !isRecord(value.pids)) return false;
  const { supervisor } = value;
  return (
    TEXTS.every((key) => typeof value[key] === 'string') &&
    (value.temporalUi === undefined || typeof value.temporalUi === 'string') &&
    Object.values(value.pids).every((pid) => typeof pid === 'number') &&
    typeof supervisor.pid === 'number' &&
    typeof supervisor.started === 'string'
  );
}

export function writeStackFile(home: string, info: StackInfo): void {
  writeFileAtomic(fileOf(home), `${JSON.stringify(info, null, 2)}\n`);
}

export function removeStackFile(home: string): void {
  rmSync(fileOf(home), { force: true });
}

/** Undefined when no stack runs in this home; a file that a killed stack left behind counts as none. */
export function findRunningStack(home: string): StackInfo | undefined {
  const value = readJsonFile(fileOf(home));
  return isStackInfo(value) && isRunning(value.supervisor) ? value : undefined;
}

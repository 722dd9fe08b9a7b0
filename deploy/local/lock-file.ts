import { randomBytes } from 'node:crypto';
import { linkSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { SlipwayError } from '../../domain/errors.ts';
import { isErrno, isRecord, readJsonFile } from './atomic-file.ts';
import { identify, isRunning } from './process-identity.ts';
import type { ProcessIdentity } from './process-identity.ts';

/**
 * A lock that its holder cannot forget to give back: it names a process, and a lock whose process is gone is nobody's.
 */
export interface HeldLock {
  readonly held: true;
  release(): void;
}
export type LockResult = HeldLock | { readonly held: false; readonly holder: ProcessIdentity };

/** Only races with other takers make another round necessary; each round somebody gets the lock. */
const ROUNDS = 50;

function readHolder(path: string): ProcessIdentity | undefined {
  const value = readJsonFile(path);
  if (!isRecord(value) || typeof value.pid !== 'number' || typeof value.started !== 'string')
    return undefined;
  return { pid: value.pid, started: value.started };
}

export function lockHolder(path: string): ProcessIdentity | undefined {
  const holder = readHolder(path);
  return holder !== undefined && isRunning(holder) ? holder : undefined;
}

const same = (a: ProcessIdentity | undefined, b: ProcessIdentity | undefined): boolean =>
  a?.pid === b?.pid && a?.started === b?.started;

export function acquireLock(path: string): LockResult {
  const self = identify(process.pid);
  if (self === undefined) {
    throw new SlipwayError(
      'DEPENDENCY_MISSING',
      'Install `ps` (package procps): it is needed to look at processes.',
    );
  }
  mkdirSync(dirname(path), { recursive: true });
  const suffix = `${process.pid}.${randomBytes(4).toString('hex')}`;
  const mine = `${path}.${suffix}`;
  // Linking a finished file takes the lock and its content in one step; `wx` would show others an empty lock.
  writeFileSync(mine, JSON.stringify(self), { mode: 0o600 });
  try {
    for (let round = 0; round < ROUNDS; round += 1) {
      if (tryLink(mine, path)) return { held: true, release: () => releaseIfMine(path, self) };
      const holder = readHolder(path);
      if (holder !== undefined && isRunning(holder)) return { held: false, holder };
      setStaleAside(path, `${mine}.stale`, holder);
    }
  } finally {
    rmSync(mine, { force: true });
  }
  throw new SlipwayError('UNAVAILABLE', `The lock ${path} keeps changing hands; try again.`);
}

const WAIT_POLL_MS = 100;

/** Waits for as long as the holder lives; `onWait` is called once when that is necessary. */
export async function waitForLock(
  path: string,
  onWait?: (holder: ProcessIdentity) => void,
): Promise<HeldLock> {
  for (let waited = false; ; waited = true) {
    const lock = acquireLock(path);
    if (lock.held) return lock;
    if (!waited) onWait?.(lock.holder);
    await delay(WAIT_POLL_MS);
  }
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false;
    throw error;
  }
}

/** Between our look and the rename another taker may have replaced the stale lock by its own: give that back. */
function setStaleAside(path: string, aside: string, stale: ProcessIdentity | undefined): void {
  try {
    renameSync(path, aside);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return;
    throw error;
  }
  const moved = readHolder(aside);
  if (!same(moved, stale) && moved !== undefined && isRunning(moved)) tryLink(aside, path);
  rmSync(aside, { force: true });
}

function releaseIfMine(path: string, self: ProcessIdentity): void {
  if (same(readHolder(path), self)) rmSync(path, { force: true });
}

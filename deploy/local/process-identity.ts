import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * Which process a recorded pid means. Pids are reused, so a pid alone is never signalled: its start time must be the
 * recorded one, or its command line must name something that only ours can (a data folder below the home).
 */
export interface ProcessIdentity {
  readonly pid: number;
  /** Opaque; equal for the same pid only when it is the same process. */
  readonly started: string;
}

const LINUX = process.platform === 'linux';

function ps(pid: number, column: string): string | undefined {
  try {
    const text = execFileSync('ps', ['-o', `${column}=`, '-p', String(pid)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 5000,
    }).trim();
    return text === '' ? undefined : text;
  } catch {
    // `ps` exits with 1 when there is no such process; on a system without it nothing can be verified.
    return undefined;
  }
}

function readProc(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return undefined; // the process is gone
  }
}

/** The fields of /proc/<pid>/stat after the command name, which may itself hold spaces and parentheses. */
function statFields(pid: number): string[] | undefined {
  const stat = readProc(pid, 'stat');
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function startTimeOf(pid: number): string | undefined {
  if (!Number.isSafeInteger(pid) || pid <= 1) return undefined;
  if (!LINUX) return ps(pid, 'lstart');
  const fields = statFields(pid);
  // A zombie has ended: only its parent has not yet looked.
  if (fields === undefined || fields[0] === 'Z' || fields[0] === 'X') return undefined;
  // Start time is counted from boot, so it is only unique together with the boot.
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim().slice(0, 8);
  return `${boot}:${fields[19] ?? ''}`;
}

export function identify(pid: number): ProcessIdentity | undefined {
  const started = startTimeOf(pid);
  return started === undefined ? undefined : { pid, started };
}

export function isRunning(process: ProcessIdentity): boolean {
  return startTimeOf(process.pid) === process.started;
}

/** Arguments joined by spaces; undefined when there is no such process. */
export function commandLineOf(pid: number): string | undefined {
  if (!Number.isSafeInteger(pid) || pid <= 1) return undefined;
  if (!LINUX) return ps(pid, 'command');
  if (startTimeOf(pid) === undefined) return undefined;
  return readProc(pid, 'cmdline')?.replaceAll('\0', ' ').trim();
}

export interface StopStep {
  readonly signal: NodeJS.Signals;
  readonly waitMs: number;
}

const POLL_MS = 20;

/**
 * Sends one signal after the other until the process is gone. Each time the identity is looked at again, so a pid
 * that was reused meanwhile is left alone.
 * @returns whether the process is gone.
 */
export async function stopProcess(target: ProcessIdentity, steps: readonly StopStep[]): Promise<boolean> {
  for (const step of steps) {
    if (!isRunning(target)) return true;
    try {
      process.kill(target.pid, step.signal);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
      return true;
    }
    const deadline = performance.now() + step.waitMs;
    while (performance.now() < deadline) {
      if (!isRunning(target)) return true;
      await delay(POLL_MS);
    }
  }
  return !isRunning(target);
}

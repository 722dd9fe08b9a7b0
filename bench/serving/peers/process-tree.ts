/** CPU time of a process and its descendants, and of the rest of the machine, from Linux's `/proc`. */
import { readFileSync, readdirSync } from 'node:fs';

const TICK_MS = 10;

/** Per thread, so that a thread that started or ended in between cannot make a difference negative. */
export type ThreadTimes = ReadonlyMap<string, { readonly runNs: number; readonly waitNs: number }>;

/**
 * `schedstat` counts nanoseconds where `stat` counts ticks of 10 ms. What a thread used between the first reading and
 * its end is lost; servers keep their threads.
 */
export function treeTimes(root: number): ThreadTimes {
  const times = new Map<string, { runNs: number; waitNs: number }>();
  for (const pid of descendants(root)) {
    for (const tid of list(`/proc/${pid}/task`)) {
      const text = read(`/proc/${pid}/task/${tid}/schedstat`);
      if (text === null) continue;
      const [runNs = 0, waitNs = 0] = text.split(' ').map(Number);
      times.set(tid, { runNs, waitNs });
    }
  }
  return times;
}

export function spent(before: ThreadTimes, after: ThreadTimes): { runUs: number; waitUs: number } {
  let runNs = 0;
  let waitNs = 0;
  for (const [tid, now] of after) {
    const then = before.get(tid);
    runNs += now.runNs - (then?.runNs ?? 0);
    waitNs += now.waitNs - (then?.waitNs ?? 0);
  }
  return { runUs: runNs / 1000, waitUs: waitNs / 1000 };
}

export interface MachineTimes {
  readonly atMs: number;
  /** Of all processes on all cores, without interrupts. */
  readonly busyMs: number;
  /** Taken by the hypervisor. */
  readonly stolenMs: number;
  /** Time in which at least one runnable task waited for a core; ours count too. */
  readonly pressureMs: number;
}

export function machineTimes(): MachineTimes {
  const [cpu = ''] = readFileSync('/proc/stat', 'latin1').split('\n', 1);
  const [user = 0, nice = 0, system = 0, , , , , steal = 0] = cpu.trim().split(/\s+/).slice(1).map(Number);
  const pressure = read('/proc/pressure/cpu')?.match(/^some .*total=(\d+)/)?.[1];
  return {
    atMs: performance.now(),
    busyMs: (user + nice + system) * TICK_MS,
    stolenMs: steal * TICK_MS,
    pressureMs: Number(pressure ?? NaN) / 1000,
  };
}

function descendants(root: number): readonly number[] {
  const children = new Map<number, number[]>();
  for (const entry of list('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = read(`/proc/${entry}/stat`);
    // The name in parentheses may hold anything; the parent is the second field after it.
    const parent = Number(stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    const siblings = children.get(parent) ?? [];
    siblings.push(Number(entry));
    children.set(parent, siblings);
  }
  const found = [root];
  for (const pid of found) found.push(...(children.get(pid) ?? []));
  return found;
}

function list(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

function read(file: string): string | null {
  try {
    return readFileSync(file, 'latin1');
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
}

/** The process or thread ended between the listing and the reading. */
function isGone(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH');
}

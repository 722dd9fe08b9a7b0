/** A person who waits longer than two seconds is told what for. */
import type { Output } from './output.ts';

const TICK_MS = 2000;

export async function withProgress<T>(output: Output, what: () => string, work: Promise<T>): Promise<T> {
  const startedMs = performance.now();
  const timer = setInterval(() => {
    output.remark(`… ${what()} (${((performance.now() - startedMs) / 1000).toFixed(0)} s)`);
  }, TICK_MS);
  try {
    return await work;
  } finally {
    clearInterval(timer);
  }
}

/**
 * A lock between processes of one machine, kept as a file that its holder touches. It saves work, it does not guard
 * data: a holder that was stopped for longer than the limit may find that another went on, so what is done under the
 * lock has to be safe when done twice.
 */
import { open, rm, stat, utimes } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

const TOUCH_MS = 2000;
const STALE_MS = 15_000;
const POLL_MS = 200;

export async function withFileLock<T>(
  file: string,
  options: { readonly onWait: () => void; readonly signal?: AbortSignal },
  work: () => Promise<T>,
): Promise<T> {
  let waiting = false;
  while (!(await take(file))) {
    options.signal?.throwIfAborted();
    if (!waiting) options.onWait();
    waiting = true;
    await delay(POLL_MS);
  }
  const touch = setInterval(() => {
    // A lock that was taken over is not ours to touch; the work goes on, see above.
    utimes(file, new Date(), new Date()).catch(() => undefined);
  }, TOUCH_MS);
  try {
    return await work();
  } finally {
    clearInterval(touch);
    await rm(file, { force: true });
  }
}

async function take(file: string): Promise<boolean> {
  try {
    const handle = await open(file, 'wx', 0o600);
    await handle.writeFile(`${process.pid}\n`);
    await handle.close();
    return true;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
  if (await isStale(file)) await rm(file, { force: true });
  return false;
}

async function isStale(file: string): Promise<boolean> {
  try {
    return Date.now() - (await stat(file)).mtimeMs > STALE_MS;
  } catch (error) {
    // Released just now.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    throw error;
  }
}

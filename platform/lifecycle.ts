/**
 * How a long-running process ends: closers run last-first, each within a bounded time, on SIGTERM, SIGINT, SIGHUP,
 * the death of the parent, or a fatal error. One closer that fails or hangs does not stop the others; it makes the
 * exit code 1.
 */

export interface Lifecycle {
  /** Registers a closer; the one registered last runs first, also while the shutdown is under way. */
  onShutdown(name: string, close: () => Promise<void> | void): void;
  /** Closes everything and leaves with `exitCode` (1 if a closer failed). Later calls join the first. */
  shutdown(reason: string, exitCode?: number): Promise<void>;
  /** Aborted as soon as the shutdown begins, for loops that wait. */
  readonly stopping: AbortSignal;
}

export interface LifecycleOptions {
  /** Stop when standard input ends or the parent changes; for children of the local stack. */
  readonly watchParent?: boolean;
  /** For all closers together; after it the process leaves with code 1. */
  readonly timeoutMsShutdown?: number;
  readonly log?: (message: string) => void;
  /** Signals that somebody else answers: those of a terminal reach all processes, but one of them decides. */
  readonly ignoredSignals?: readonly (typeof SIGNALS)[number][];
}

interface Closer {
  readonly name: string;
  readonly close: () => Promise<void> | void;
}

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
/**
 * Ctrl-C reaches a process that npm started up to three times: from the terminal, from npm and from its shell. Only
 * a repetition after this long is a person who does not want to wait any more.
 */
const REPEATED_ON_PURPOSE_MS = 1000;
const PARENT_POLL_MS = 1000;
const EXIT_BY_SIGNAL = { SIGTERM: 143, SIGINT: 130, SIGHUP: 129 } as const;

const describe = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : String(error);

/** One per process, at its start. Its handlers keep the signals from ending the process unclosed. */
export function startLifecycle(options: LifecycleOptions = {}): Lifecycle {
  const log = options.log ?? ((message: string): void => console.error(message));
  const closers: Closer[] = [];
  const controller = new AbortController();
  let ending: Promise<void> | undefined;
  let failed = false;

  const runCloser = async (closer: Closer): Promise<void> => {
    try {
      await closer.close();
    } catch (error) {
      failed = true;
      log(`${closer.name} did not close cleanly: ${describe(error)}`);
    }
  };

  const end = async (reason: string, exitCode: number): Promise<void> => {
    log(`stopping: ${reason}`);
    controller.abort(new Error(reason));
    let current = '';
    const timeoutMs = options.timeoutMsShutdown ?? 10_000;
    const deadline = setTimeout(() => {
      log(`${current} did not close within ${timeoutMs} ms; leaving`);
      process.exit(1);
    }, timeoutMs);
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) {
      current = closer.name;
      await runCloser(closer);
    }
    clearTimeout(deadline);
    process.exit(failed ? 1 : exitCode);
  };

  const shutdown = (reason: string, exitCode = 0): Promise<void> => (ending ??= end(reason, exitCode));

  let firstSignalAt: number | undefined;
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      if (options.ignoredSignals?.includes(signal) === true) return;
      const now = performance.now();
      if (firstSignalAt !== undefined && now - firstSignalAt > REPEATED_ON_PURPOSE_MS) {
        log(`${signal} again: leaving at once`);
        process.exit(EXIT_BY_SIGNAL[signal]);
      }
      firstSignalAt ??= now;
      void shutdown(signal);
    });
  }
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => {
      log(`${event}: ${describe(error)}`);
      void shutdown(event, 1);
    });
  }
  if (options.watchParent === true) watchParent((reason) => void shutdown(reason));

  return {
    onShutdown(name, close) {
      closers.push({ name, close });
    },
    shutdown,
    stopping: controller.signal,
  };
}

/**
 * The parent never writes to our standard input, so its end means that the parent is gone, at once and on every
 * system. The parent's id is looked at too, for a parent that was ended while another process held the pipe open.
 */
function watchParent(gone: (reason: string) => void): void {
  const parent = process.ppid;
  process.stdin.on('end', () => gone('the parent process closed standard input'));
  process.stdin.on('error', () => gone('standard input failed'));
  process.stdin.resume();
  const timer = setInterval(() => {
    if (process.ppid !== parent) gone('the parent process ended');
  }, PARENT_POLL_MS);
  timer.unref();
}

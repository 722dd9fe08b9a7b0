import { spawn } from 'node:child_process';

export interface CommandResult {
  /** Undefined when the program was not found or not allowed to run. */
  readonly code: number | undefined;
  readonly signal: NodeJS.Signals | null;
  readonly timedOut: boolean;
  /** Both streams together. */
  readonly output: string;
}

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly uid?: number;
  readonly gid?: number;
  readonly timeoutMs: number;
  readonly onLine?: (line: string) => void;
  readonly signal?: AbortSignal;
}

const KEPT_CHARACTERS = 64 * 1024;

/** Runs a program to its end, never longer than the timeout. Never rejects: what happened is in the result. */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<CommandResult> {
  const timeout = AbortSignal.timeout(options.timeoutMs);
  const signals = options.signal === undefined ? [timeout] : [timeout, options.signal];
  const { env, cwd, uid, gid } = options;
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    signal: AbortSignal.any(signals),
    killSignal: 'SIGKILL',
    ...(env === undefined ? {} : { env }),
    ...(cwd === undefined ? {} : { cwd }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  });
  let output = '';
  const take = (chunk: Buffer): void => {
    const text = chunk.toString('utf8');
    output = (output + text).slice(-KEPT_CHARACTERS);
    const last = text.trimEnd().split('\n').at(-1);
    if (last !== undefined && last !== '') options.onLine?.(last);
  };
  child.stdout.on('data', take);
  child.stderr.on('data', take);
  let startFailure: string | undefined;
  await new Promise<void>((resolve) => {
    child.once('close', () => resolve());
    child.once('error', (error) => {
      startFailure = error.message;
      // A child that never was does not close; one that was ended by the signal does.
      if (child.pid === undefined) resolve();
    });
  });
  const started = child.pid !== undefined;
  return {
    code: started ? (child.exitCode ?? undefined) : undefined,
    signal: child.signalCode,
    timedOut: timeout.aborted,
    output: started ? output : (startFailure ?? output),
  };
}

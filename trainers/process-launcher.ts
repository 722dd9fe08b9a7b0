/** Runs a trainer as a process of this machine and hands on its outputs when they keep the contract. */
import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { SlipwayError } from '../domain/errors.ts';
import { OUTPUT_FILES, parseEvent, TRAINER_EXIT, checkTrainerOutput } from '../domain/training/index.ts';
import type { TrainerEvent, TrainerJob, TrainerResult } from '../domain/training/index.ts';
import { readTrainerOutput } from './trainer-output.ts';

export interface LaunchOptions {
  readonly command: string;
  /** Before `--job <file>`. */
  readonly args: readonly string[];
  /** The whole environment of the trainer: nothing is inherited. */
  readonly environment: Readonly<Record<string, string>>;
  readonly job: TrainerJob;
  readonly onEvent: (event: TrainerEvent) => void;
  /** Aborting sends SIGTERM, and SIGKILL to the whole group after the grace; the reason is what is thrown. */
  readonly signal?: AbortSignal;
  readonly graceMs?: number;
}

export interface LaunchedTraining {
  readonly result: TrainerResult;
  readonly metrics: Readonly<Record<string, number>>;
  readonly files: Readonly<Record<(typeof OUTPUT_FILES)[number], string>>;
}

const DEFAULT_GRACE_MS = 10_000;
/** Far more than any event needs; a stream without line ends must not fill the memory. */
const MAX_LINE = 1_048_576;
const STDERR_TAIL = 8192;
const PUBLIC_MESSAGE = 500;

/**
 * The trainer leads its own process group, beside a watcher that reads a pipe of the launcher's: when the launcher is
 * gone, however it went, the pipe ends and the watcher kills the group. This needs nothing of the trainer, and ends
 * what it has started as well; only shell builtins, so that no PATH is needed.
 */
const WATCHED_START = `
exec 3<&0 </dev/null
{ while read -r line <&3; do :; done; kill -KILL 0; } >/dev/null 2>&1 &
exec 3<&-
exec "$@"
`;

type Trainer = ChildProcessByStdio<Writable, Readable, Readable>;

interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
  /** What made the launcher stop it: a broken event stream, or a listener that threw. */
  readonly stopped: unknown;
}

/**
 * @throws SlipwayError TRAINER_REJECTED_JOB (exit 64), TRAINER_FAILED (any other exit), TRAINER_CONTRACT (what it
 *   printed or wrote); the signal's reason when it was aborted.
 */
export async function launchTrainer(options: LaunchOptions): Promise<LaunchedTraining> {
  const { job, signal } = options;
  signal?.throwIfAborted();
  const jobFile = await prepare(job);
  signal?.throwIfAborted();
  const ending = await run(options, jobFile);
  if (ending.stopped !== undefined) throw ending.stopped;
  signal?.throwIfAborted();
  if (ending.code !== TRAINER_EXIT.done) throw failure(ending);
  const checked = checkTrainerOutput(job, await readTrainerOutput(job.outputFolder));
  if (!checked.ok) {
    throw new SlipwayError('TRAINER_CONTRACT', 'the trainer ended well but its outputs break the contract', {
      problems: checked.problems,
      internal: ending.stderr,
    });
  }
  const path = (name: (typeof OUTPUT_FILES)[number]): string => join(job.outputFolder, name);
  return {
    result: checked.result,
    metrics: checked.metrics,
    files: {
      'model.onnx': path('model.onnx'),
      'metrics.json': path('metrics.json'),
      'predictions.parquet': path('predictions.parquet'),
    },
  };
}

/** Outputs of an earlier attempt must not pass for this one's; checkpoints stay. */
async function prepare(job: TrainerJob): Promise<string> {
  const folder = dirname(job.outputFolder);
  await mkdir(job.outputFolder, { recursive: true });
  await mkdir(job.checkpointFolder, { recursive: true });
  for (const name of [...OUTPUT_FILES, 'result.json'])
    await rm(join(job.outputFolder, name), { force: true });
  const file = join(folder, 'job.json');
  await writeFile(`${file}.${process.pid}`, JSON.stringify(job, null, 2));
  await rename(`${file}.${process.pid}`, file);
  return file;
}

function run(options: LaunchOptions, jobFile: string): Promise<Ending> {
  const { command, args, environment, onEvent, signal, graceMs = DEFAULT_GRACE_MS } = options;
  const child: Trainer = spawn(
    '/bin/sh',
    ['-c', WATCHED_START, 'trainer', command, ...args, '--job', jobFile],
    { detached: true, stdio: ['pipe', 'pipe', 'pipe'], env: environment },
  );
  let stopped: unknown;
  let stderr = '';
  let grace: NodeJS.Timeout | undefined;
  const stopNow = (reason: unknown): void => {
    stopped ??= reason;
    killGroup(child);
  };
  const askToLeave = (): void => {
    child.kill('SIGTERM');
    grace = setTimeout(() => killGroup(child), graceMs);
  };
  readLines(
    child.stdout,
    (line) => {
      if (stopped !== undefined) return;
      const event = parseEvent(line);
      if ('problem' in event) {
        const message = `the trainer printed a line that is no event of the contract: ${event.problem}`;
        stopNow(new SlipwayError('TRAINER_CONTRACT', message, { internal: line.slice(0, STDERR_TAIL) }));
        return;
      }
      try {
        onEvent(event);
      } catch (error) {
        stopNow(error);
      }
    },
    () => stopNow(new SlipwayError('TRAINER_CONTRACT', `the trainer printed a line over ${MAX_LINE} bytes`)),
  );
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-STDERR_TAIL);
  });
  // Writing never happens, but the pipe's end may be reported as an error when the watcher dies first.
  child.stdin.on('error', () => undefined);
  signal?.addEventListener('abort', askToLeave, { once: true });
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      clearTimeout(grace);
      signal?.removeEventListener('abort', askToLeave);
    };
    child.once('error', (cause) => {
      settle();
      reject(
        new SlipwayError('TRAINER_FAILED', 'the trainer could not be started', {
          internal: `${command}: ${cause.message}`,
          cause,
        }),
      );
    });
    // The watcher then ends the rest of the group; what still holds the output open would delay `close`.
    child.once('exit', () => child.stdin.end());
    child.once('close', (code, killedBy) => {
      settle();
      resolve({ code, signal: killedBy, stderr: stderr.trim(), stopped });
    });
  });
}

function failure({ code, signal, stderr }: Ending): SlipwayError {
  if (code === TRAINER_EXIT.badInput) {
    const reason = stderr.split('\n').at(-1) ?? '';
    return new SlipwayError(
      'TRAINER_REJECTED_JOB',
      `the trainer refused the job: ${reason === '' ? 'it gave no reason' : reason.slice(0, PUBLIC_MESSAGE)}`,
      { internal: stderr },
    );
  }
  const how = signal === null ? `with exit code ${code}` : `by ${signal}`;
  const again = 'a retry goes on at the last checkpoint';
  return new SlipwayError('TRAINER_FAILED', `the trainer was ended ${how}; ${again}`, { internal: stderr });
}

/** @param onTooLong called once, when a line has no end. */
function readLines(stream: Readable, onLine: (line: string) => void, onTooLong: () => void): void {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') onLine(line);
    if (rest.length > MAX_LINE) {
      rest = '';
      onTooLong();
    }
  });
  stream.on('end', () => {
    if (rest.trim() !== '') onLine(rest);
  });
}

function killGroup(child: Trainer): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    // ESRCH: it has just left by itself.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

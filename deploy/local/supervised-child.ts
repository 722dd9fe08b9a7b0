import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';

import { SlipwayError } from '../../domain/errors.ts';
import { openLogFile } from './log-file.ts';
import { accepts } from './ports.ts';

/** When a child counts as ready: an HTTP 200, a line of its log, or what a probe finds out. */
type Readiness =
  { readonly url: string } | { readonly logLine: RegExp } | { readonly probe: () => Promise<boolean> };

export interface ChildSpec {
  /** Unique in the stack; names its log file. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly uid?: number;
  readonly gid?: number;
  readonly ready: Readiness;
  readonly timeoutMsReady?: number;
  readonly stopSignal?: 'SIGTERM' | 'SIGINT';
  readonly graceMs?: number;
  /** Whether a crash is followed by a new start; default true. */
  readonly restart?: boolean;
}

export interface SupervisedChild {
  readonly name: string;
  /** Undefined while it does not run. */
  readonly pid: number | undefined;
  readonly restarts: number;
  /** Resolves when ready. */
  start(): Promise<void>;
  /** SIGTERM (or its own signal), then SIGKILL after the grace; resolves when it is gone. */
  stop(): Promise<void>;
  restart(): Promise<void>;
  /** SIGKILL, as a crash: it comes back by itself unless it was told not to. */
  kill(): void;
  /** Resolves when it is ready (again); rejects after `timeoutMs`. */
  whenReady(timeoutMs?: number): Promise<void>;
  close(): void;
}

export interface ChildHooks {
  readonly logFile: string;
  spawned(pid: number): void;
  ended(pid: number): void;
  onEvent(event: string): void;
}

const BACKOFF_FIRST_MS = 250;
const BACKOFF_LAST_MS = 10_000;
/** A child that crashes this often without ever living long is not going to be better the next time. */
const MOST_RESTARTS = 10;
const LIVED_LONG_MS = 30_000;
const READY_POLL_MS = 50;
const PROBE_TIMEOUT_MS = 2000;
const DEFAULT_READY_MS = 30_000;
const DEFAULT_GRACE_MS = 10_000;
const TAIL_LINES = 15;
/** The exit of a child may be known before the last that it wrote. */
const LAST_WORDS_MS = 200;

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false; // not listening yet: the deadline of the caller decides how long that is fine
  }
}

type State = 'stopped' | 'starting' | 'ready' | 'waiting' | 'gave-up';

class Child implements SupervisedChild {
  readonly name: string;
  restarts = 0;
  readonly #spec: ChildSpec;
  readonly #hooks: ChildHooks;
  readonly #log;
  #process: ChildProcess | undefined;
  #state: State = 'stopped';
  #wanted = false;
  #seenLine = false;
  #wasReady = false;
  #crashes = 0;
  #startedAt = 0;
  #exit: Promise<void> = Promise.resolve();
  #lastExit = '';
  #retry: AbortController | undefined;

  constructor(spec: ChildSpec, hooks: ChildHooks) {
    this.name = spec.name;
    this.#spec = spec;
    this.#hooks = hooks;
    this.#log = openLogFile(hooks.logFile);
    const { ready } = spec;
    if ('logLine' in ready) {
      this.#log.onLine((text) => {
        if (ready.logLine.test(text)) this.#seenLine = true;
      });
    }
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  async start(): Promise<void> {
    if (this.#wanted) return this.whenReady();
    this.#wanted = true;
    this.#crashes = 0;
    await this.#launch();
  }

  async #launch(): Promise<void> {
    await this.#refuseTakenPort();
    const process_ = this.#spawn();
    const ready = await this.#waitReady(process_, this.#spec.timeoutMsReady ?? DEFAULT_READY_MS);
    if (ready === 'ready') {
      this.#state = 'ready';
      this.#wasReady = true;
      this.#hooks.onEvent(`ready (pid ${process_.pid ?? 0})`);
      return;
    }
    if (!this.#wanted) return; // stopped on purpose while it started
    if (ready === 'ended') await Promise.race([once(process_, 'close'), delay(LAST_WORDS_MS)]);
    const how = ready === 'ended' ? this.#lastExit : `was not ready within ${this.#readyMs()} ms`;
    const tail = this.#log.tail(TAIL_LINES);
    throw new SlipwayError('UNAVAILABLE', `${this.name} ${how}; the end of ${this.#log.path}:\n${tail}`);
  }

  #readyMs(): number {
    return this.#spec.timeoutMsReady ?? DEFAULT_READY_MS;
  }

  /** Else another program on the port could answer for a child that is about to fail because of it. */
  async #refuseTakenPort(): Promise<void> {
    if (!('url' in this.#spec.ready)) return;
    const { hostname, port } = new URL(this.#spec.ready.url);
    if (!(await accepts(hostname, Number(port), PROBE_TIMEOUT_MS))) return;
    throw new SlipwayError(
      'UNAVAILABLE',
      `Port ${port}, meant for ${this.name}, was taken by another program; start again.`,
    );
  }

  #spawn(): ChildProcess {
    const { command, args, env, cwd, uid, gid } = this.#spec;
    this.#seenLine = false;
    this.#wasReady = false;
    this.#state = 'starting';
    this.#startedAt = performance.now();
    this.#log.line('supervisor', `starting ${command} ${args.join(' ')}`);
    const child = spawn(command, args, {
      env,
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(cwd === undefined ? {} : { cwd }),
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
    });
    this.#process = child;
    child.stdin.on('error', () => undefined); // it is only held open, so that its end tells of our death
    this.#log.attach(child.stdout, 'out');
    this.#log.attach(child.stderr, 'err');
    const { pid } = child;
    if (pid !== undefined) this.#hooks.spawned(pid);
    this.#exit = new Promise((resolve) => {
      const done = (how: string): void => {
        if (this.#process !== child) return;
        this.#process = undefined;
        this.#lastExit = how;
        this.#log.line('supervisor', `${this.name} ${how}`);
        if (pid !== undefined) this.#hooks.ended(pid);
        this.#state = 'stopped';
        resolve();
        if (this.#wanted && this.#wasReady) this.#crashed();
      };
      child.once('error', (error) => done(`could not be started: ${error.message}`));
      child.once('exit', (code, signal) =>
        done(signal === null ? `ended with code ${code}` : `ended by ${signal}`),
      );
    });
    return child;
  }

  async #waitReady(child: ChildProcess, timeoutMs: number): Promise<'ready' | 'ended' | 'timeout'> {
    const deadline = performance.now() + timeoutMs;
    const { ready } = this.#spec;
    while (performance.now() < deadline) {
      if (this.#process !== child) return 'ended';
      const is =
        'url' in ready ? await answers(ready.url) : 'probe' in ready ? await ready.probe() : this.#seenLine;
      // Looked at again: it may have ended while the probe was under way.
      if (this.#process !== child) return 'ended';
      if (is) return 'ready';
      await delay(READY_POLL_MS);
    }
    return 'timeout';
  }

  #crashed(): void {
    if (this.#spec.restart === false) {
      this.#hooks.onEvent(`${this.#lastExit}; not restarted`);
      return;
    }
    if (performance.now() - this.#startedAt > LIVED_LONG_MS) this.#crashes = 0;
    this.#crashes += 1;
    if (this.#crashes > MOST_RESTARTS) {
      this.#state = 'gave-up';
      this.#hooks.onEvent(
        `${this.#lastExit}; gave up after ${MOST_RESTARTS} restarts, see ${this.#log.path}`,
      );
      return;
    }
    const waitMs = Math.min(BACKOFF_LAST_MS, BACKOFF_FIRST_MS * 2 ** (this.#crashes - 1));
    this.#hooks.onEvent(`${this.#lastExit}; starting it again in ${waitMs} ms`);
    this.#state = 'waiting';
    this.#retry = new AbortController();
    void this.#relaunchAfter(waitMs, this.#retry.signal);
  }

  async #relaunchAfter(waitMs: number, signal: AbortSignal): Promise<void> {
    await delay(waitMs, undefined, { signal }).catch(() => undefined); // rejects only when stopped meanwhile
    if (signal.aborted || !this.#wanted) return;
    this.restarts += 1;
    try {
      await this.#launch();
    } catch (error) {
      this.#hooks.onEvent(error instanceof Error ? error.message : String(error));
      await this.#end();
      if (this.#wanted) this.#crashed();
    }
  }

  async stop(): Promise<void> {
    this.#wanted = false;
    this.#retry?.abort();
    await this.#end();
    this.#state = 'stopped';
  }

  async #end(): Promise<void> {
    const child = this.#process;
    if (child === undefined) return;
    child.kill(this.#spec.stopSignal ?? 'SIGTERM');
    const graceMs = this.#spec.graceMs ?? DEFAULT_GRACE_MS;
    const timer = setTimeout(() => {
      this.#log.line('supervisor', `${this.name} did not stop within ${graceMs} ms: SIGKILL`);
      child.kill('SIGKILL');
    }, graceMs);
    await this.#exit;
    clearTimeout(timer);
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  kill(): void {
    if (this.#process?.kill('SIGKILL') === true) this.#state = 'stopped';
  }

  async whenReady(timeoutMs = DEFAULT_READY_MS): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (this.#state !== 'ready') {
      if (this.#state === 'gave-up' || performance.now() > deadline) {
        throw new SlipwayError('UNAVAILABLE', `${this.name} is not ready; see ${this.#log.path}.`);
      }
      await delay(READY_POLL_MS);
    }
  }

  close(): void {
    this.#log.close();
  }
}

export function superviseChild(spec: ChildSpec, hooks: ChildHooks): SupervisedChild {
  return new Child(spec, hooks);
}

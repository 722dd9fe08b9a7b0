/** Drives the server under load: windows of load with what the server and the machine spent meanwhile. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { ENDPOINT } from '../../../test/serving/control-plane.ts';
import type { BenchModel } from '../peers/models.ts';
import { machineTimes, spent, treeTimes } from '../peers/process-tree.ts';
import { startForked } from '../peers/server-process.ts';
import type { ServerProcess } from '../peers/server-process.ts';
import type { Command, Logged } from './load-server.ts';
import { runLoad } from './poisson-load.ts';
import type { LoadClass, LoadPhase, PhaseResult } from './poisson-load.ts';

/** A window is noisy when any of these is exceeded. Shares are of one core over the window. */
export const NOISE_RULE = { foreign: 0.1, serverWaited: 0.05, lagP99Ms: 5 } as const;

export interface Pressure {
  /** Ran besides the server and the generator, or was taken by the hypervisor. */
  readonly foreign: number;
  readonly stolen: number;
  /** How long the server's main thread was ready to run and others had its core. */
  readonly serverWaited: number;
  /** `/proc/pressure/cpu`, some; the server's and the generator's own threads count. */
  readonly some: number;
  /** How much of its core the generator used; between two requests it spins, so that it is in time. */
  readonly generator: number;
  /** Milliseconds that the generator was behind its own plan. */
  readonly lagP99Ms: number;
}

export interface LoadWindow {
  readonly phases: readonly PhaseResult[];
  readonly seconds: number;
  readonly cpuUsPerRequest: number;
  readonly serverCores: number;
  /** Rows of the prediction log. */
  readonly logged: Logged;
  readonly pressure: Pressure;
  readonly noisy: boolean;
}

export const DEADLINE_MS = 100;
export const SLO_MS = 50;
export const SERVER_CORE = 0;
export const LOAD_CORE = 1;
export const CONNECTIONS = 256;
const USERS = 1000;
/** The generator's CPU time counts only once it has ended. */
const REAP_MS = 150;
const TICK_MS = 10;

export type Mix = Readonly<Record<string, number>>;
export const DEFAULT_ONLY: Mix = { default: 1 };
export const MIXED: Mix = { critical: 0.1, default: 0.6, sheddable: 0.2, bulk: 0.1 };

export interface WindowOptions {
  readonly mix?: Mix;
  readonly connections?: number;
  readonly deadlineMs?: number;
}

export class ServerUnderLoad {
  readonly #server: ServerProcess;
  readonly #body: string;
  #seed = 7;
  #asked: Promise<unknown> = Promise.resolve();
  /** Windows thrown away because of others on the machine, and those kept although noisy. */
  discarded = 0;
  keptNoisy = 0;
  windows = 0;

  static async start(
    program: string,
    model: BenchModel,
    logFile: string,
    core: number | null,
  ): Promise<ServerUnderLoad> {
    const args = [program, '--serve', 'load', model.file, String(model.features)];
    const server = await startForked({ command: process.execPath, args, logFile, core });
    return new ServerUnderLoad(server, model);
  }

  private constructor(server: ServerProcess, model: BenchModel) {
    this.#server = server;
    const [row = new Float32Array()] = model.rows;
    const data = Array.from(row, (value) => Number(value.toPrecision(6)));
    this.#body = JSON.stringify({
      inputs: [{ name: 'features', datatype: 'FP32', shape: [1, row.length], data }],
    });
  }

  get pid(): number {
    return this.#server.pid;
  }

  stop(): Promise<void> {
    return this.#server.stop();
  }

  /** One question at a time: answers do not say to which they belong. */
  ask<Answer>(command: Command): Promise<Answer> {
    const answer = this.#asked.then(async () => {
      this.#server.child.send(command);
      const [said] = (await once(this.#server.child, 'message')) as [Answer];
      return said;
    });
    this.#asked = answer.catch(() => undefined);
    return answer;
  }

  rssBytes(): number {
    const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${this.pid}/status`, 'latin1'))?.[1];
    return Number(kilobytes) * 1024;
  }

  /** Once, whatever else happens on the machine. */
  async window(
    phases: readonly LoadPhase[],
    { mix = DEFAULT_ONLY, connections = CONNECTIONS, deadlineMs = DEADLINE_MS }: WindowOptions = {},
  ): Promise<LoadWindow> {
    const logged = await this.ask<Logged>({ do: 'logged' });
    const machine = machineTimes();
    const own = ownCpuMs();
    const tree = treeTimes(this.pid);
    const waited = mainThreadWaitMs(this.pid);
    const plan = {
      port: this.#server.port,
      connections,
      phases,
      body: this.#body,
      users: USERS,
      path: `/v2/models/${ENDPOINT}/infer`,
      contentType: 'application/json',
      seed: (this.#seed += 2),
      classes: classesOf(mix, deadlineMs),
    };
    const results = await runLoad(plan, LOAD_CORE);
    await delay(REAP_MS);
    const { runUs } = spent(tree, treeTimes(this.pid));
    const now = machineTimes();
    const ms = now.atMs - machine.atMs;
    const generatorMs = ownCpuMs() - own;
    const loadMs = phases.reduce((all, phase) => all + phase.ms, 0);
    const share = (part: number): number => Math.max(0, part) / ms;
    const pressure: Pressure = {
      foreign: share(now.busyMs - machine.busyMs - runUs / 1000 - generatorMs),
      stolen: share(now.stolenMs - machine.stolenMs),
      serverWaited: share(mainThreadWaitMs(this.pid) - waited),
      some: share(now.pressureMs - machine.pressureMs),
      generator: generatorMs / loadMs,
      lagP99Ms: Math.max(...results.map(({ lagP99 }) => lagP99)),
    };
    this.windows += 1;
    const { written, dropped } = await this.ask<Logged>({ do: 'logged' });
    return {
      logged: { written: written - logged.written, dropped: dropped - logged.dropped },
      phases: results,
      seconds: ms / 1000,
      pressure,
      noisy: isNoisy(pressure),
      cpuUsPerRequest: runUs / results.reduce((all, phase) => all + total(phase, 'offered'), 0),
      serverCores: runUs / 1000 / loadMs,
    };
  }

  /** Repeated while others disturb it; after so many tries the last one is kept and says that it is noisy. */
  async quietWindow(
    phases: readonly LoadPhase[],
    tries: number,
    options?: WindowOptions,
  ): Promise<LoadWindow> {
    for (let attempt = 1; ; attempt += 1) {
      const window = await this.window(phases, options);
      if (!window.noisy) return window;
      if (attempt >= tries) {
        this.keptNoisy += 1;
        return window;
      }
      this.discarded += 1;
      console.error(`  discarded: ${describePressure(window.pressure)}`);
    }
  }
}

export function describePressure({ foreign, stolen, serverWaited, generator, lagP99Ms }: Pressure): string {
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  return `others ran ${percent(foreign)}, stolen ${percent(stolen)}, server without its core ${percent(serverWaited)}, generator ${generator.toFixed(2)} cores, its lag p99 ${lagP99Ms.toFixed(1)} ms`;
}

export function total(
  phase: PhaseResult,
  field: Exclude<keyof PhaseResult['classes'][number], 'name'>,
): number {
  return phase.classes.reduce((sum, one) => sum + one[field], 0);
}

/** Per second. */
export function goodput(phase: PhaseResult): number {
  return total(phase, 'good') / (phase.ms / 1000);
}

export function offered(phase: PhaseResult): number {
  return total(phase, 'offered') / (phase.ms / 1000);
}

function isNoisy({ foreign, stolen, serverWaited, lagP99Ms }: Pressure): boolean {
  const rule = NOISE_RULE;
  return foreign + stolen > rule.foreign || serverWaited > rule.serverWaited || lagP99Ms > rule.lagP99Ms;
}

function classesOf(mix: Mix, deadlineMs: number): LoadClass[] {
  return Object.entries(mix).map(([name, share]) => ({
    name,
    share,
    deadlineMs,
    headers: { 'x-priority': name, 'x-deadline-ms': String(deadlineMs) },
  }));
}

function mainThreadWaitMs(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/schedstat`, 'latin1').split(' ')[1]) / 1e6;
}

/** Of this process and of the generators that ended. */
function ownCpuMs(): number {
  const stat = readFileSync('/proc/self/stat', 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = [11, 12, 13, 14].reduce((sum, field) => sum + Number(fields[field]), 0);
  return ticks * TICK_MS;
}

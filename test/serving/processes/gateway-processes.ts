/** A real primary with real gateway processes that serve a real model from the routes on disk, without a database. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { cp } from 'node:fs/promises';
import { Agent, get, request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { createPortBook } from '../../../deploy/local/ports.ts';
import { inheritedEnvironment } from '../../../platform/config.ts';
import type { ConfigKeyName } from '../../../platform/config-keys.ts';
import { homeLayout } from '../../../platform/home.ts';
import { projectRoot } from '../../../platform/root.ts';
import { routeFilePath, saveRoutes } from '../../../serving/route-file.ts';
import { ENDPOINT } from '../control-plane.ts';
import { eventually, GatewayFixture, request } from '../gateway-fixture.ts';

export const FAMILY = 'box:1';
const NO_DATABASE = 'postgresql://nobody:none@127.0.0.1:1/none';
const BODY = JSON.stringify(request([[1, 2, 3]]));

interface LogLine {
  readonly msg: string;
  readonly slot?: number;
  readonly processId?: number;
}

export interface Answer {
  readonly status: number;
  readonly text: string;
}

export class GatewayProcesses {
  readonly port: number;
  readonly home: string;
  readonly log: LogLine[] = [];
  readonly primary: ChildProcess;
  /** Resolves with the exit code of the primary. */
  readonly ended: Promise<number | null>;
  readonly #fixture: GatewayFixture;
  /** Every process that ever got ready, so that none outlives a test. */
  readonly #pids = new Set<number>();

  static async start(env: Partial<Record<ConfigKeyName, string>>): Promise<GatewayProcesses> {
    const fixture = await GatewayFixture.create();
    const { home, control } = fixture;
    const layout = homeLayout(home);
    await cp(join(home, 'trusted'), layout.trustedFolder, { recursive: true });
    control.route({ champion: await fixture.version('linear') });
    const saved = { endpoints: [control.state!], revocations: control.revocations };
    // As a gateway left them that ran alone: its processes have routes to start from.
    await saveRoutes(routeFilePath(layout.gateways, FAMILY), saved);
    return new GatewayProcesses(fixture, await createPortBook().reserve(), env);
  }

  private constructor(fixture: GatewayFixture, port: number, env: Partial<Record<ConfigKeyName, string>>) {
    this.#fixture = fixture;
    this.home = fixture.home;
    this.port = port;
    const entry = join(projectRoot(), 'dist/serving/gateway.main.js');
    this.primary = spawn(process.execPath, [entry], {
      env: inheritedEnvironment({
        SLIPWAY_HOME: fixture.home,
        SLIPWAY_GATEWAY_ID: FAMILY,
        SLIPWAY_GATEWAY_PORT: String(port),
        SLIPWAY_SHUTDOWN_MS: '6000',
        DATABASE_URL: NO_DATABASE,
        ...env,
      }),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.ended = new Promise((resolve) => {
      this.primary.once('exit', (code) => resolve(code));
    });
    let rest = '';
    this.primary.stdout!.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines.filter((one) => one.startsWith('{'))) this.#heard(JSON.parse(line) as LogLine);
    });
  }

  #heard(line: LogLine): void {
    this.log.push(line);
    if (line.processId !== undefined) this.#pids.add(line.processId);
  }

  logged(message: string): readonly LogLine[] {
    return this.log.filter(({ msg }) => msg === message);
  }

  /** Process ids by slot of those that got ready and have not ended. */
  get pids(): ReadonlyMap<number, number> {
    const pids = new Map<number, number>();
    for (const { msg, slot, processId } of this.log) {
      if (slot === undefined) continue;
      if (processId !== undefined) pids.set(slot, processId);
      else if (/has left|crash/.test(msg)) pids.delete(slot);
    }
    return pids;
  }

  untilReady(count: number, timeoutMs = 15_000): Promise<void> {
    return eventually(() => this.pids.size === count, `${count} processes are ready`, timeoutMs);
  }

  get(path: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const call = get(
        { host: '127.0.0.1', port: this.port, path, agent: false, timeout: 5000 },
        (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (part: string) => (text += part));
          response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
          response.on('error', reject);
        },
      );
      call.on('timeout', () => call.destroy(new Error('no answer')));
      call.on('error', reject);
    });
  }

  infer(agent: Agent | false): Promise<number> {
    return new Promise((resolve, reject) => {
      const call = httpRequest(
        {
          host: '127.0.0.1',
          port: this.port,
          path: `/v2/models/${ENDPOINT}/infer`,
          method: 'POST',
          headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(BODY) },
          agent,
          timeout: 3000,
        },
        (response) => {
          response.resume();
          response.on('end', () => resolve(response.statusCode ?? 0));
          response.on('error', reject);
        },
      );
      call.on('timeout', () => call.destroy(new Error('no answer')));
      // A kept connection that breaks is a request that failed; a new one may only have come too late.
      call.on('error', (error) =>
        reject(
          call.reusedSocket ? new Error(`${error.message} on a kept connection`, { cause: error }) : error,
        ),
      );
      call.end(BODY);
    });
  }

  async remove(): Promise<void> {
    this.primary.kill('SIGKILL');
    await this.ended;
    for (const pid of this.#pids) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
    await eventually(() => [...this.#pids].every((pid) => !isAlive(pid)), 'no process is left');
    await this.#fixture.remove();
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Callers with a connection of their own each (or a new one per request), until they are stopped. */
export class Load {
  answered = 0;
  /** By caller. */
  readonly failures: string[][];
  readonly #agents: (Agent | false)[];
  #stopped = false;
  readonly #running: Promise<unknown>;

  constructor(
    target: GatewayProcesses,
    { callers, pauseMs, keepAlive = true }: { callers: number; pauseMs: number; keepAlive?: boolean },
  ) {
    this.failures = Array.from({ length: callers }, () => []);
    this.#agents = this.failures.map(() => keepAlive && new Agent({ keepAlive: true, maxSockets: 1 }));
    this.#running = Promise.all(
      this.#agents.map((agent, i) => this.#call(target, agent, this.failures[i]!, pauseMs)),
    );
  }

  async #call(
    target: GatewayProcesses,
    agent: Agent | false,
    failures: string[],
    pauseMs: number,
  ): Promise<void> {
    while (!this.#stopped) {
      try {
        const status = await target.infer(agent);
        if (status === 200) this.answered += 1;
        else failures.push(`status ${status}`);
      } catch (error) {
        failures.push(String(error));
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    for (const agent of this.#agents) if (agent !== false) agent.destroy();
  }
}

/** Predictions that each process has counted, by slot. */
export function predictionsBySlot(metrics: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [, slot, count] of metrics.matchAll(
    /^slipway_gateway_predictions_total\{process="(\d+)",[^}]*\} (\d+)/gm,
  )) {
    counts.set(slot!, (counts.get(slot!) ?? 0) + Number(count));
  }
  return counts;
}

/**
 * Server CPU per request: the whole gateway (validation, routing, evidence, prediction log, metrics, tracing) against a canned answer of
 * `node:http`, interleaved in one run, at 1, 16 and 64 connections with one JSON prediction each.
 *
 *   node dist/bench/serving/infer.bench.js [model.onnx features] [--canary|--shadow]
 *
 * Absolute times mean little on a shared machine; the ratio within a round does.
 */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { Agent, createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { eventually, modelBytes } from '../../test/serving/gateway-fixture.ts';
import { startBenchGateway } from './bench-gateway.ts';

const ROUNDS = 5;
const ROUND_MS = 1200;
const CONNECTIONS = [1, 16, 64];

interface Server {
  readonly name: string;
  readonly child: ChildProcess;
  readonly port: number;
}

async function canned(): Promise<number> {
  const body = JSON.stringify({
    model_name: 'toy',
    outputs: [{ name: 'score', datatype: 'FP32', shape: [1], data: [0.5] }],
  });
  const headers = ['content-type', 'application/json', 'content-length', String(Buffer.byteLength(body))];
  const server = createServer((request, response) => {
    request.resume();
    request.on('end', () => response.writeHead(200, headers).end(body));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** With candidate versions in the wanted role, and one load of a further version to see what it does to the loop. */
async function gateway(
  model: string | undefined,
  columns: number,
  role: string | undefined,
): Promise<number> {
  const bytes = model === undefined ? await modelBytes('linear') : await readFile(model);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const started = await startBenchGateway(bytes, columns, {
    modelLoaded: (_: string, __: string, placement: string, ms: number) =>
      console.log(
        `loaded ${placement} in ${ms.toFixed(0)} ms, longest stop of the event loop ${(delay.max / 1e6).toFixed(1)} ms`,
      ),
  });
  const { client, fixture, port } = started;
  await new Promise((resolve) => setTimeout(resolve, 100));
  delay.enable();
  await client.ready();
  await new Promise((resolve) => setTimeout(resolve, 100));
  delay.reset();
  const candidate = await started.candidate();
  const shares = { weightBp: role === '--canary' ? 10_000 : 0, mirrorBp: role === '--shadow' ? 10_000 : 0 };
  started.route({ candidate: { version: candidate, ...shares } });
  await eventually(() => fixture.control.lastAck?.versions[candidate.digest]?.state === 'ready', 'candidate');
  delay.disable();
  return port;
}

async function start(name: string, args: readonly string[]): Promise<Server> {
  const child = fork(fileURLToPath(import.meta.url), ['--serve', name, ...args]);
  const died = new AbortController();
  child.once('exit', () => died.abort());
  const [port] = (await once(child, 'message', { signal: died.signal })) as [number];
  return { name, child, port };
}

async function cpuMicros({ child }: Server): Promise<number> {
  child.send('cpu');
  const [micros] = (await once(child, 'message')) as [number];
  return micros;
}

async function drive(port: number, connections: number, body: string): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const call = httpRequest(
        { port, agent, method: 'POST', path: '/v2/models/toy/infer', headers },
        (response) => {
          if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`));
          response.resume();
          response.on('end', resolve);
        },
      );
      call.on('error', reject);
      call.end(body);
    });
  const end = performance.now() + ROUND_MS;
  let done = 0;
  const caller = async (): Promise<void> => {
    while (performance.now() < end) {
      await one();
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: connections }, caller));
  agent.destroy();
  return done;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

async function compare(args: readonly string[]): Promise<void> {
  const columns = Number(args[1] ?? 3);
  const data = Array.from({ length: columns }, (_, i) => Math.round(Math.sin(i + 1) * 1e6) / 1e6);
  const body = JSON.stringify({
    inputs: [{ name: 'features', datatype: 'FP32', shape: [1, columns], data }],
    parameters: { unit: 'user-1' },
  });
  const servers = [await start('canned', args), await start('gateway', args)];
  for (const server of servers) await drive(server.port, 16, body);
  for (const connections of CONNECTIONS) {
    const costs = new Map(servers.map(({ name }) => [name, [] as number[]]));
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const server of servers) {
        const before = await cpuMicros(server);
        const done = await drive(server.port, connections, body);
        costs.get(server.name)?.push(((await cpuMicros(server)) - before) / done);
      }
    }
    const [floor, full] = servers.map(({ name }) => median(costs.get(name) ?? []));
    const ratio = (full ?? NaN) / (floor ?? NaN);
    console.log(
      `${connections} connections: gateway ${full?.toFixed(1)} CPU-µs per request, canned ${floor?.toFixed(1)}, ratio ${ratio.toFixed(2)}`,
    );
  }
  for (const { child } of servers) child.disconnect();
}

const args = process.argv.slice(2);
if (args[0] === '--serve') {
  const [, name, ...rest] = args;
  const role = rest.find((arg) => arg.startsWith('--'));
  const [model, columns] = rest.filter((arg) => !arg.startsWith('--'));
  const port = name === 'canned' ? await canned() : await gateway(model, Number(columns ?? 3), role);
  process.on('message', () => {
    const { user, system } = process.cpuUsage();
    process.send?.(user + system);
  });
  if (name === 'canned') process.once('disconnect', () => process.exit(0));
  process.send?.(port);
} else {
  await compare(args);
}

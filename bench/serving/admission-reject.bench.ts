/**
 * What a rejection costs the server: the whole gateway turning every request away, against a canned 200 of `node:http`
 * that reads the body, interleaved in one run. Requests come in one packet with their body of 64 features.
 *
 *   node dist/bench/serving/admission-reject.bench.js
 */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { modelBytes } from '../../test/serving/gateway-fixture.ts';
import { startBenchGateway } from './bench-gateway.ts';

const ROUNDS = 7;
const ROUND_MS = 500;
const CONNECTIONS = 32;
const COLUMNS = 64;
const NAMES = ['canned', 'rejecting'] as const;

interface Server {
  readonly name: string;
  readonly child: ChildProcess;
  readonly port: number;
  readonly micros: number[];
}

async function canned(): Promise<number> {
  const body = JSON.stringify({
    model_name: 'toy',
    outputs: [{ name: 'score', datatype: 'FP32', data: [0.5] }],
  });
  const headers = ['content-type', 'application/json', 'content-length', String(body.length)];
  const server = createServer((request, response) => {
    request.resume();
    request.on('end', () => response.writeHead(200, headers).end(body));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  process.once('disconnect', () => process.exit(0));
  return (server.address() as AddressInfo).port;
}

async function rejecting(): Promise<number> {
  const { client, port } = await startBenchGateway(await modelBytes('linear'), 3);
  await client.ready();
  return port;
}

async function cpuMicros({ child }: Server): Promise<number> {
  child.send('cpu');
  const [micros] = (await once(child, 'message')) as [number];
  return micros;
}

/** Each connection sends its next request when the answer to the last is there. */
async function drive(port: number, wanted: string): Promise<number> {
  const data = Array.from({ length: COLUMNS }, (_, i) => Math.sin(i).toFixed(6)).join(',');
  const body = `{"inputs":[{"name":"features","datatype":"FP32","shape":[1,${COLUMNS}],"data":[${data}]}]}`;
  // A retry beyond the few that are free: rejected for as long as nothing else is admitted.
  const head = `POST /v2/models/toy/infer HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-priority: default\r\nx-retry-attempt: 1\r\nx-slipway-unit: user-1\r\ncontent-length: ${body.length}\r\n\r\n`;
  const bytes = Buffer.from(head + body);
  const end = performance.now() + ROUND_MS;
  let done = 0;
  const one = async (): Promise<void> => {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      if (chunk.toString('latin1', 9, 12) === wanted) done += 1;
      if (performance.now() < end) socket.write(bytes);
      else socket.end();
    });
    socket.write(bytes);
    await once(socket, 'close');
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, one));
  return done;
}

async function compare(): Promise<void> {
  const servers: Server[] = [];
  for (const name of NAMES) {
    const child = fork(fileURLToPath(import.meta.url), ['--serve', name]);
    const [port] = (await once(child, 'message')) as [number];
    servers.push({ name, child, port, micros: [] });
  }
  for (let round = -1; round < ROUNDS; round += 1) {
    for (const server of servers) {
      const before = await cpuMicros(server);
      const done = await drive(server.port, server.name === 'canned' ? '200' : '429');
      if (round >= 0) server.micros.push(((await cpuMicros(server)) - before) / done);
    }
  }
  const ratios = servers[1]?.micros.map((micros, round) => micros / (servers[0]?.micros[round] ?? NaN)) ?? [];
  for (const { name, micros } of servers) console.log(`${name}: ${spread(micros)} CPU-µs per request`);
  console.log(`rejection over canned 200, in pairs: ${spread(ratios)}`);
  for (const { child } of servers) child.disconnect();
}

function spread(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  const show = (value: number | undefined): string => (value ?? NaN).toFixed(2);
  return `${show(sorted[sorted.length >> 1])} (${show(sorted[0])} to ${show(sorted.at(-1))})`;
}

if (process.argv[2] === '--serve') {
  const port = await (process.argv[3] === 'canned' ? canned() : rejecting());
  process.on('message', () => {
    const { user, system } = process.cpuUsage();
    process.send?.(user + system);
  });
  process.send?.(port);
} else {
  await compare();
}

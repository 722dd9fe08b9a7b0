/**
 * What a swap of the champion does to the event loop: p99 of its delay while the gateway is under load, in windows
 * without and with swaps in turn, and how many requests failed.
 *
 *   node dist/bench/serving/swap.bench.js [model.onnx features]
 *
 * The load comes from a thread of its own, so that only the gateway is on the event loop that is measured.
 */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Worker } from 'node:worker_threads';
import { servedTensors } from '../../domain/registry/served-tensors.ts';
import { NO_METRICS } from '../../serving/metrics.ts';
import { GatewayFixture, eventually, modelBytes } from '../../test/serving/gateway-fixture.ts';

const PAIRS = 6;
const WINDOW_MS = 1000;
const SWAPS = 2;
const CONNECTIONS = 8;

const LOAD = `
const { parentPort, workerData } = require('node:worker_threads');
const { Agent, request } = require('node:http');
const { port, body, connections } = workerData;
const agent = new Agent({ keepAlive: true, maxSockets: connections });
let stopped = false, done = 0, failed = 0;
const one = () => new Promise((resolve) => {
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  const call = request({ port, agent, method: 'POST', path: '/v2/models/toy/infer', headers }, (response) => {
    done += 1;
    if (response.statusCode !== 200) failed += 1;
    response.resume().on('end', resolve);
  });
  call.on('error', () => { failed += 1; resolve(); });
  call.end(body);
});
// Paced: at saturation the delay would be that of the queue.
const caller = async () => { while (!stopped) { await one(); await new Promise((r) => setTimeout(r, 2)); } };
parentPort.once('message', () => { stopped = true; });
Promise.all(Array.from({ length: connections }, caller)).then(() => { agent.destroy(); parentPort.postMessage({ done, failed }); parentPort.close(); });
`;

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

async function main(file: string | undefined, columns: number): Promise<void> {
  const fixture = await GatewayFixture.create();
  const bytes = file === undefined ? await modelBytes('linear') : await readFile(file);
  const tensors = servedTensors(columns);
  const spec = { features: Array.from({ length: columns }, (_, i) => ({ name: `f${i}` })) };
  fixture.control.route({ champion: await fixture.version(bytes, { tensors }), spec });
  const placements: string[] = [];
  const metrics = {
    ...NO_METRICS,
    modelLoaded: (_: string, __: string, placement: string) => void placements.push(placement),
  };
  const client = await fixture.start({ metrics });
  await client.ready();
  const data = Array.from({ length: columns }, (_, i) => Math.sin(i + 1));
  const body = JSON.stringify({
    inputs: [{ name: 'features', datatype: 'FP32', shape: [1, columns], data }],
  });
  const port = Number(new URL(client.url).port);
  const load = new Worker(LOAD, { eval: true, workerData: { port, body, connections: CONNECTIONS } });
  const versions = [];
  for (let i = 0; i < PAIRS * SWAPS; i += 1)
    versions.push(await fixture.version(bytes, { tensors, note: `${i}` }));
  await new Promise((resolve) => setTimeout(resolve, 500));
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const p99 = { quiet: [] as number[], swapping: [] as number[] };
  const longest = { quiet: [] as number[], swapping: [] as number[] };
  for (let window = 0; window < 2 * PAIRS; window += 1) {
    const kind = window % 2 === 0 ? 'quiet' : 'swapping';
    delay.reset();
    delay.enable();
    const end = performance.now() + WINDOW_MS;
    const swaps = kind === 'swapping' ? SWAPS : 0;
    for (let swap = 0; swap < swaps; swap += 1) {
      const champion = versions.pop();
      if (champion === undefined) break;
      const generation = fixture.control.route({ champion, spec });
      await eventually(() => fixture.control.lastAck?.generation === generation, 'swapped');
    }
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, end - performance.now())));
    delay.disable();
    p99[kind].push(delay.percentile(99) / 1e6);
    longest[kind].push(delay.max / 1e6);
  }
  load.postMessage('stop', []);
  const [{ done, failed }] = (await once(load, 'message')) as [{ done: number; failed: number }];
  const [quiet, swapping] = [median(p99.quiet), median(p99.swapping)];
  console.log(
    `placements: ${[...new Set(placements)].join(', ')}; ${SWAPS} swaps in each window of ${WINDOW_MS} ms`,
  );
  console.log(`event-loop delay p99: quiet ${quiet.toFixed(2)} ms, swapping ${swapping.toFixed(2)} ms`);
  console.log(
    `longest: quiet ${median(longest.quiet).toFixed(2)} ms, swapping ${median(longest.swapping).toFixed(2)} ms`,
  );
  console.log(`${done} answers, ${failed} failed`);
  await fixture.remove();
}

const [file, columns] = process.argv.slice(2);
await main(file, Number(columns ?? 3));

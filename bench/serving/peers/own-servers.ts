/** The servers of the comparison that are forked from the benchmark itself. Each sends its port when it is ready. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { startBenchGateway } from '../bench-gateway.ts';
import { newHistogram } from './load-client.ts';

const CANNED = Buffer.from(
  JSON.stringify({
    model_name: 'toy',
    outputs: [
      { name: 'label', datatype: 'INT64', shape: [1], data: [1] },
      { name: 'score', datatype: 'FP32', shape: [1], data: [0.5] },
    ],
  }),
);

export interface BareRun {
  readonly runs: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

export interface BareRequest {
  readonly ms: number;
  readonly batch: number;
}

export async function serve([what, model = '', columns = '']: readonly string[]): Promise<void> {
  switch (what) {
    case 'gateway': {
      const gateway = await startBenchGateway(await readFile(model), Number(columns));
      await gateway.client.ready();
      process.send?.(gateway.port);
      return;
    }
    case 'canned':
      process.send?.(await canned());
      break;
    case 'bare':
      await bare(model, Number(columns));
      process.send?.(0);
      break;
    case undefined:
    default:
      throw new Error(`there is no server ${what}`);
  }
  process.once('disconnect', () => process.exit(0));
}

async function canned(): Promise<number> {
  const headers = ['content-type', 'application/json', 'content-length', String(CANNED.length)];
  const server = createServer((request, response) => {
    request.resume();
    request.on('end', () => response.writeHead(200, headers).end(CANNED));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Nothing but the model, run in a row in this process, each time it is asked. */
async function bare(model: string, columns: number): Promise<void> {
  const session = await InferenceSession.create(model, { intraOpNumThreads: 1, interOpNumThreads: 1 });
  const run = async ({ ms, batch }: BareRequest): Promise<BareRun> => {
    const data = Float32Array.from({ length: batch * columns }, (_, i) => Math.abs(Math.sin(i + 1)));
    const histogram = newHistogram();
    const end = performance.now() + ms;
    let runs = 0;
    for (let before = performance.now(); before < end;) {
      await session.run({ features: new Tensor('float32', data, [batch, columns]) });
      const after = performance.now();
      histogram.recordValue(Math.round((after - before) * 1000));
      before = after;
      runs += 1;
    }
    return { runs, p50Us: histogram.getValueAtPercentile(50), p99Us: histogram.getValueAtPercentile(99) };
  };
  process.on('message', (request: BareRequest) => void run(request).then((result) => process.send?.(result)));
}

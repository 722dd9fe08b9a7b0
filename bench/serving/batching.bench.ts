/**
 * What batches save: CPU-µs per row by batch size, on the event loop and in a thread; and CPU-µs per request through
 * the batcher with the given number of requests under way, in batches and one by one, interleaved.
 *
 *   node dist/bench/serving/batching.bench.js [model.onnx features]
 *
 * CPU time is of the whole process, threads included, so that the way to a thread and back is in it.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { servedTensors } from '../../domain/registry/served-tensors.ts';
import { systemClock } from '../../platform/clock.ts';
import { NO_BATCH_OBSERVER } from '../../serving/batching/batch-observer.ts';
import { Batcher } from '../../serving/batching/batcher.ts';
import { CostModel } from '../../serving/batching/cost-model.ts';
import { RunTicket } from '../../serving/batching/run-ticket.ts';
import { createModelLoader } from '../../serving/models/load-model.ts';
import type { LoadedModel } from '../../serving/models/load-model.ts';
import { ModelStatistics } from '../../serving/statistics.ts';
import { GatewayFixture, modelBytes } from '../../test/serving/gateway-fixture.ts';

const SIZES = [1, 2, 4, 8, 16, 32, 64];
const UNDER_WAY = [1, 16, 64];
const ROUNDS = 5;
const ROUND_MS = 150;

async function cpuMicrosPer(unit: number, run: () => Promise<unknown>): Promise<number> {
  const end = performance.now() + ROUND_MS;
  const before = process.cpuUsage();
  let runs = 0;
  for (; performance.now() < end; runs += 1) await run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / (runs * unit);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

function batcherOf({ session, noiseFloor, samples }: LoadedModel, maxBatchRows: number): Batcher {
  const cost = new CostModel();
  for (const { rows, ms } of samples) cost.add(rows, ms);
  const statistics = new ModelStatistics();
  const observer = NO_BATCH_OBSERVER;
  return new Batcher({ session, maxBatchRows, noiseFloor, statistics, cost, clock: systemClock, observer });
}

async function main(file: string | undefined, columns: number): Promise<void> {
  const fixture = await GatewayFixture.create();
  const bytes = file === undefined ? await modelBytes('linear') : await readFile(file);
  const load = createModelLoader({
    blobRoot: join(fixture.home, 'blobs'),
    trustedKeysFolder: join(fixture.home, 'trusted'),
    limits: { inlineCreateMs: 1000, inlineRunMs: 1000 },
    runTimeoutMs: 5000,
    clock: systemClock,
  });
  const descriptor = await fixture.version(bytes, { tensors: servedTensors(columns) });
  const features = Array.from({ length: columns }, (_, i) => ({ name: `f${i}` }));
  const revocations = { digests: [], keyIds: [] };
  const onLost = (): void => {};
  const inline = await load({ descriptor, features, revocations, isolate: false, onLost });
  const worker = await load({ descriptor, features, revocations, isolate: true, onLost });
  console.log(`noise floor ${inline.noiseFloor.toExponential(1)}`);
  const row = Float32Array.from({ length: columns }, (_, i) => Math.sin(i + 1));
  const places = { inline, worker };

  console.log('CPU-µs per row, by rows in a batch (inline | worker)');
  for (const rows of SIZES) {
    const medians = [];
    for (const { session } of Object.values(places)) {
      const costs = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        costs.push(await cpuMicrosPer(rows, () => session.run(new Float32Array(rows * columns), rows)));
      }
      medians.push(median(costs).toFixed(2));
    }
    console.log(`${rows}: ${medians.join(' | ')}`);
  }

  console.log('CPU-µs per request of one row through the batcher (batched | one by one)');
  for (const [placement, loaded] of Object.entries(places)) {
    const batched = batcherOf(loaded, 64);
    const single = batcherOf(loaded, 1);
    for (const underWay of UNDER_WAY) {
      const costs = new Map([batched, single].map((batcher) => [batcher, [] as number[]]));
      for (let round = 0; round < ROUNDS; round += 1) {
        for (const [batcher, list] of costs) {
          const burst = (): Promise<unknown> =>
            Promise.all(
              Array.from({ length: underWay }, () =>
                batcher.run(row.slice(), 1, new RunTicket(performance.now() + 1000)),
              ),
            );
          list.push(await cpuMicrosPer(underWay, burst));
        }
      }
      const [with_, without] = [...costs.values()].map(median);
      console.log(
        `${placement}, ${underWay} under way: ${with_?.toFixed(2)} | ${without?.toFixed(2)}, saves ${((without ?? NaN) / (with_ ?? NaN)).toFixed(1)}×`,
      );
    }
    console.log(
      `${placement}: learned ${(batched.cost.a * 1000).toFixed(2)} µs per row, ${(batched.cost.b * 1000).toFixed(1)} per run`,
    );
  }
  await expiry(batcherOf(worker, 64));
  await Promise.all([inline.session.retire(), worker.session.retire()]);
  await fixture.remove();
}

/** How late requests learn that their deadline has passed, while long runs are under way in the thread. */
async function expiry(batcher: Batcher): Promise<void> {
  const lateness: number[] = [];
  const columns = Number(process.argv[3] ?? 3);
  for (let round = 0; round < 20; round += 1) {
    const busy = batcher.run(new Float32Array(columns * 20_000), 20_000);
    await new Promise((resolve) => setImmediate(resolve));
    await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        const ticket = new RunTicket(performance.now() + 0.5 + (i % 10) / 4);
        await batcher.run(new Float32Array(columns), 1, ticket).catch(() => {
          lateness.push(performance.now() - ticket.deadlineMs);
        });
      }),
    );
    await busy;
  }
  const sorted = lateness.toSorted((a, b) => a - b);
  const at = (share: number): string => (sorted[Math.floor(share * (sorted.length - 1))] ?? NaN).toFixed(2);
  console.log(`expiry: ${sorted.length} expired, late by p50 ${at(0.5)} p99 ${at(0.99)} max ${at(1)} ms`);
}

const [file, columns] = process.argv.slice(2);
await main(file, Number(columns ?? 3));

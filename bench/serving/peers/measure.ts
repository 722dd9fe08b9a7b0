/** Interleaved rounds: in each, every contestant is measured once at the same number of connections. */
import { once } from 'node:events';
import { decodeFromCompressedBase64, encodeIntoCompressedBase64 } from 'hdr-histogram-js';
import { LoadClient, newHistogram } from './load-client.ts';
import { machineTimes, spent, treeTimes } from './process-tree.ts';
import type { BareRequest, BareRun } from './own-servers.ts';
import type { ServerProcess } from './server-process.ts';

/** Of one core; what else ran than the server under test and the client, or was taken by the hypervisor. */
const NOISE_LIMIT = 0.1;
const WARM_MS = 150;

export interface Noise {
  /** Cores' worth of time in which something else ran. */
  readonly foreign: number;
  readonly stolen: number;
  /** `/proc/pressure/cpu`, some; the server's own threads on their one core count, so it judges nothing. */
  readonly pressure: number;
}

export interface Cell {
  readonly contestant: string;
  readonly connections: number;
  readonly round: number;
  readonly requests: number;
  readonly seconds: number;
  readonly cpuUs: number;
  /** Per request: how long its threads were runnable and had no core. */
  readonly waitUs: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** HdrHistogram, microseconds, compressed. */
  readonly histogram: string;
  readonly noise: Noise;
  readonly noisy: boolean;
}

export interface BareCell extends BareRun {
  readonly round: number;
  readonly batch: number;
  readonly cpuUs: number;
  readonly noise: Noise;
  readonly noisy: boolean;
}

export interface Subject {
  readonly name: string;
  readonly server: ServerProcess;
  readonly requests: readonly Buffer[];
}

async function observed<T>(
  pid: number,
  work: () => Promise<T>,
): Promise<{ result: T; runUs: number; waitUs: number; noise: Noise; noisy: boolean }> {
  const machine = machineTimes();
  const own = process.cpuUsage();
  const before = treeTimes(pid);
  const result = await work();
  const { runUs, waitUs } = spent(before, treeTimes(pid));
  const { user, system } = process.cpuUsage(own);
  const now = machineTimes();
  const elapsedMs = now.atMs - machine.atMs;
  const ours = (runUs + user + system) / 1000;
  const noise = {
    foreign: Math.max(0, now.busyMs - machine.busyMs - ours) / elapsedMs,
    stolen: (now.stolenMs - machine.stolenMs) / elapsedMs,
    pressure: (now.pressureMs - machine.pressureMs) / elapsedMs,
  };
  return { result, runUs, waitUs, noise, noisy: noise.foreign + noise.stolen > NOISE_LIMIT };
}

export async function measure(
  subject: Subject,
  connections: number,
  round: number,
  ms: number,
): Promise<Cell> {
  const { name, server, requests } = subject;
  const client = await LoadClient.open(server.port, connections, requests);
  try {
    await client.run(WARM_MS);
    const { result, runUs, waitUs, noise, noisy } = await observed(server.pid, () => client.run(ms));
    const { latency } = result;
    return {
      contestant: name,
      connections,
      round,
      requests: result.requests,
      seconds: result.elapsedMs / 1000,
      cpuUs: runUs / result.requests,
      waitUs: waitUs / result.requests,
      p50Us: latency.getValueAtPercentile(50),
      p99Us: latency.getValueAtPercentile(99),
      histogram: encodeIntoCompressedBase64(latency),
      noise,
      noisy,
    };
  } finally {
    client.close();
  }
}

export async function measureBare(
  server: ServerProcess,
  batch: number,
  round: number,
  ms: number,
): Promise<BareCell> {
  const { result, runUs, noise, noisy } = await observed(server.pid, async () => {
    server.child.send({ ms, batch } satisfies BareRequest);
    const [run] = (await once(server.child, 'message')) as [BareRun];
    return run;
  });
  return { ...result, round, batch, cpuUs: runUs / result.runs, noise, noisy };
}

/** Of all rounds together. */
export function percentileUs(cells: readonly Cell[], percentile: number): number {
  const all = newHistogram();
  for (const { histogram } of cells) all.add(decodeFromCompressedBase64(histogram));
  return all.getValueAtPercentile(percentile);
}

/** A load source that watches a server from outside: two calls of `performance.now()` per request and no closure. */
import type { Server, ServerResponse } from 'node:http';
import { performance } from 'node:perf_hooks';
import type { LoadSample, LoadSource } from './load-sample.ts';

/** Four buckets an octave: a quantile is right within 19 %, and from 1/64 ms up to two minutes there are 92. */
const PER_OCTAVE = 4;
const LOWEST_LOG2 = -6;
const BUCKETS = 92;

interface TimedResponse extends ServerResponse {
  slipwayStartedMs?: number;
}

export function serverLoad(server: Server): LoadSource {
  const counts = new Uint32Array(BUCKETS);
  let requests = 0;
  let loop = performance.eventLoopUtilization();

  function finished(this: TimedResponse): void {
    requests += 1;
    const ms = performance.now() - (this.slipwayStartedMs ?? 0);
    const bucket = Math.floor((Math.log2(ms) - LOWEST_LOG2) * PER_OCTAVE);
    counts[Math.min(BUCKETS - 1, Math.max(0, bucket))]! += 1;
  }
  server.on('request', (_request, response: TimedResponse) => {
    response.slipwayStartedMs = performance.now();
    response.on('finish', finished);
  });

  return {
    sample(): LoadSample {
      const now = performance.eventLoopUtilization();
      const { utilization } = performance.eventLoopUtilization(now, loop);
      loop = now;
      const sample = { requests, p99Ms: quantile(counts, requests, 0.99), utilisation: utilization };
      counts.fill(0);
      requests = 0;
      return sample;
    },
  };
}

/** The upper end of the bucket that the quantile falls into. */
function quantile(counts: Uint32Array, total: number, share: number): number | null {
  if (total === 0) return null;
  let left = Math.ceil(total * share);
  let bucket = 0;
  while (bucket < BUCKETS - 1 && (left -= counts[bucket]!) > 0) bucket += 1;
  return 2 ** ((bucket + 1) / PER_OCTAVE + LOWEST_LOG2);
}

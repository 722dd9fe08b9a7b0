/**
 * CPU of the prediction log per row of 64 features: a binary columnar row against a line of JSON, both written to a
 * real file by group commit, interleaved in one run.
 *
 *   node dist/bench/serving/prediction-log.bench.js [rows per request]
 *
 * `adding` is what the event loop spends before the answer can go on; `process` is all CPU of the process (user and
 * system, all threads), with packing, checksums, writes and flushes.
 */
import { randomUUID } from 'node:crypto';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../platform/clock.ts';
import { NO_LOG } from '../../serving/log.ts';
import { SegmentLog, predictionSchema } from '../../serving/prediction-log/index.ts';
import type { LoggedPrediction } from '../../serving/prediction-log/index.ts';

const FEATURES = 64;
const ROUNDS = 9;
const REQUESTS = 40_000;
/** Requests between two turns of the event loop, about what a busy gateway has in a few milliseconds. */
const TURN = 200;
const ROWS = Number(process.argv[2] ?? 1);

interface Cost {
  readonly adding: number;
  readonly process: number;
}

const names = Array.from({ length: FEATURES }, (_, i) => `feature_${i}`);
const requests: LoggedPrediction[] = Array.from({ length: 1000 }, (_, n) => ({
  predictionId: randomUUID(),
  rows: ROWS,
  atMs: 1_700_000_000_000 + n,
  generation: 7,
  arm: n % 10 === 0 ? 'canary' : 'champion',
  version: `sha256:${(n % 10 === 0 ? 'ab' : 'cd').repeat(32)}`,
  experiment: null,
  propensity: 1,
  outcome: 'ok',
  output: {
    labels: BigInt64Array.from({ length: ROWS }, (_, i) => BigInt(i & 1)),
    scores: Float32Array.from({ length: ROWS }, () => Math.random()),
  },
  latencyMs: 1 + Math.random(),
  features: Float32Array.from({ length: ROWS * FEATURES }, () => Math.random() * 100),
  statuses: null,
}));

async function measure(add: (request: LoggedPrediction) => void, end: () => Promise<void>): Promise<Cost> {
  const cpu = process.cpuUsage();
  let adding = 0;
  for (let done = 0; done < REQUESTS; done += TURN) {
    const started = process.cpuUsage();
    for (let i = 0; i < TURN; i += 1) add(requests[(done + i) % requests.length] as LoggedPrediction);
    // Another thread's write may be counted here as well: an upper bound.
    const spent = process.cpuUsage(started);
    adding += spent.user + spent.system;
    await new Promise((resolve) => setImmediate(resolve));
  }
  await end();
  const spent = process.cpuUsage(cpu);
  const rows = REQUESTS * ROWS;
  return { adding: adding / rows, process: (spent.user + spent.system) / rows };
}

/** The log of a gateway lives as long as the gateway, so that its memory is in use already when a row comes. */
function binary(folder: string): {
  readonly round: () => Promise<Cost>;
  readonly close: () => Promise<void>;
} {
  let dropped = 0;
  const metrics = {
    predictionsLogged: (_: string, __: number, lost: number) => void (dropped += lost),
    predictionLogCommit() {},
    predictionLogFailed() {},
  };
  const log = new SegmentLog({
    folder,
    gatewayId: 'bench',
    bootId: randomUUID(),
    maxBytes: 256 * 1024 * 1024,
    clock: systemClock,
    metrics,
    log: NO_LOG,
    // Nobody sends that many requests a second: what would be dropped must not make it look cheap.
    settings: { memoryBytes: 256 * 1024 * 1024 },
  });
  const features = names.map((name) => ({ name }));
  const endpoint = log.endpoint(predictionSchema('bench', features, names));
  return {
    round: () =>
      measure(
        (request) => endpoint.add(request),
        async () => void (await log.flush()),
      ),
    close: async () => {
      await log.close(60_000);
      if (dropped > 0) throw new Error(`${dropped} rows were dropped`);
    },
  };
}

async function json(folder: string): Promise<Cost> {
  const handle = await open(join(folder, `${randomUUID()}.jsonl`), 'wx');
  let lines: string[] = [];
  let writing = Promise.resolve();
  const commit = (): void => {
    if (lines.length === 0) return;
    const text = lines.join('');
    lines = [];
    writing = writing.then(async () => {
      await handle.write(text);
      await handle.datasync();
    });
  };
  const timer = setInterval(commit, 50);
  const cost = await measure(
    (request) => {
      const { rows, output, features, statuses: _, ...rest } = request;
      for (let row = 0; row < rows; row += 1) {
        const values: Record<string, number | undefined> = {};
        for (let i = 0; i < FEATURES; i += 1) values[names[i] as string] = features[row * FEATURES + i];
        const answer = { decision: Number(output?.labels[row]), score: output?.scores[row] };
        lines.push(`${JSON.stringify({ ...rest, row, ...answer, features: values })}\n`);
      }
    },
    async () => {
      commit();
      await writing;
    },
  );
  clearInterval(timer);
  await handle.close();
  return cost;
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;

const folder = await mkdtemp(join(tmpdir(), 'slipway-bench-'));
try {
  const rows = binary(folder);
  const costs: { readonly binary: Cost; readonly json: Cost }[] = [];
  // The first round only warms up.
  for (let round = 0; round <= ROUNDS; round += 1) {
    const cost = { binary: await rows.round(), json: await json(folder) };
    if (round > 0) costs.push(cost);
  }
  await rows.close();
  const show = (name: 'adding' | 'process'): void => {
    const [rows, lines] = [costs.map((cost) => cost.binary[name]), costs.map((cost) => cost.json[name])];
    const ratios = costs.map((cost) => cost.json[name] / cost.binary[name]);
    console.log(
      `${name.padEnd(8)} µs CPU per row: binary ${median(rows).toFixed(2)}, JSON ${median(lines).toFixed(2)}, ` +
        `ratio ${median(ratios).toFixed(1)} (median of ${ROUNDS} interleaved rounds)`,
    );
  };
  console.log(`${FEATURES} features, ${ROWS} row(s) per request, ${REQUESTS} requests a round`);
  show('adding');
  show('process');
} finally {
  await rm(folder, { recursive: true });
}

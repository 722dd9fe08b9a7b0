/**
 * What is left of the gateway's capacity when more comes than it can take: the whole gateway on one core, an open-loop
 * generator on the other. Finds the capacity in steps, then offers 1.5 and 2 times as much with four priorities, and
 * measures how soon the latency is back afterwards.
 *
 *   node dist/bench/serving/overload.bench.js [model.onnx features] [--deadline=100] [--connections=256] [--seconds=5]
 *
 * A run in which others had the server's core, or in which the generator lagged, is discarded and repeated.
 */
import { fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { AdmissionState } from '../../serving/admission/index.ts';
import { modelBytes } from '../../test/serving/gateway-fixture.ts';
import { startBenchGateway } from './bench-gateway.ts';
import { pinnedTo, runLoad, SLOT_MS } from './load/poisson-load.ts';
import type { LoadClass, LoadPhase, PhaseResult } from './load/poisson-load.ts';

const SERVER_CORE = 0;
const LOAD_CORE = 1;
/** A rate counts as sustained when so many of its requests were answered in time. */
const SUSTAINED = 0.98;

/** A run whose server waited longer than this for its core says more about the machine than about the gateway. */
const MAX_CORE_WAIT = 0.05;
const TRIES = 4;
const MAX_LAG_MS = 5;

interface ServerReport {
  readonly cpuMicros: number;
  readonly shed: Readonly<Record<string, number>>;
  readonly states: readonly AdmissionState[];
}

function option(name: string, otherwise: number): number {
  const found = process.argv.find((arg) => arg.startsWith(`--${name}=`));
  return found === undefined ? otherwise : Number(found.split('=')[1]);
}

const [modelPath, columnsText] = process.argv.slice(2).filter((arg) => !arg.startsWith('--'));
const columns = Number(columnsText ?? 3);
const deadlineMs = option('deadline', 100);
const connections = option('connections', 256);
const seconds = option('seconds', 5);
/** Of one request. */
const rows = option('rows', 1);

/** Milliseconds that a process was ready to run and others had its core; NaN where the kernel does not say. */
function coreWaitMs(pid: number | undefined): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6;
  } catch {
    return NaN;
  }
}

async function serve(): Promise<void> {
  let states: AdmissionState[] = [];
  let shed: Record<string, number> = {};
  const model = modelPath === undefined ? await modelBytes('linear') : await readFile(modelPath);
  const { client, port } = await startBenchGateway(model, columns, {
    shed(_endpoint, reason, priority) {
      const key = `${priority}/${reason}`;
      shed[key] = (shed[key] ?? 0) + 1;
    },
    waited() {},
    state: (state) => void states.push(state),
  });
  await client.ready();
  process.on('message', () => {
    const { user, system } = process.cpuUsage();
    process.send?.({ cpuMicros: user + system, shed, states } satisfies ServerReport);
    states = [];
    shed = {};
  });
  process.send?.(port);
}

function classesOf(mix: Readonly<Record<string, number>>): LoadClass[] {
  return Object.entries(mix).map(([name, share]) => ({
    name,
    share,
    deadlineMs,
    headers: { 'x-priority': name },
  }));
}

const sum = (
  phase: PhaseResult,
  field: 'offered' | 'good' | 'rejected' | 'late' | 'expired' | 'failed' | 'unsent',
) => phase.classes.reduce((total, one) => total + one[field], 0);
const mean = (values: readonly number[]): number =>
  values.reduce((a, b) => a + b, 0) / Math.max(1, values.length);

async function main(): Promise<void> {
  const child = fork(fileURLToPath(import.meta.url), [...process.argv.slice(2), '--serve']);
  if (pinnedTo(SERVER_CORE).length > 0) {
    spawnSync('taskset', ['-acp', String(SERVER_CORE), String(child.pid)]);
  }
  const [port] = (await once(child, 'message')) as [number];
  const report = async (): Promise<ServerReport> => {
    child.send('report');
    const [answer] = (await once(child, 'message')) as [ServerReport];
    return answer;
  };
  const data = Array.from({ length: columns * rows }, (_, i) => Math.round(Math.sin(i + 1) * 1e6) / 1e6);
  const body = JSON.stringify({
    inputs: [{ name: 'features', datatype: 'FP32', shape: [rows, columns], data }],
  });
  const load = (
    phases: readonly LoadPhase[],
    mix: Readonly<Record<string, number>>,
  ): Promise<PhaseResult[]> =>
    runLoad(
      {
        port,
        connections,
        phases,
        body,
        path: '/v2/models/toy/infer',
        contentType: 'application/json',
        users: 64,
        seed: 7,
        classes: classesOf(mix),
      },
      LOAD_CORE,
    );
  const only = { default: 1 };
  const mixed = { critical: 0.1, default: 0.6, sheddable: 0.2, bulk: 0.1 };

  const [warm] = await load(
    [
      { name: 'cold', perSecond: 500, ms: 1000 },
      { name: 'warm', perSecond: 3000, ms: 2000 },
    ],
    only,
  );
  console.log('  warm-up', JSON.stringify(warm?.classes));
  const gated = async (phases: readonly LoadPhase[], mix: Readonly<Record<string, number>>) => {
    for (let attempt = 1; ; attempt += 1) {
      await report();
      const waited = coreWaitMs(child.pid);
      const startedAt = performance.now();
      const results = await load(phases, mix);
      const share = (coreWaitMs(child.pid) - waited) / (performance.now() - startedAt);
      const lagMs = results[0]?.lagP99 ?? 0;
      const clean = !(share > MAX_CORE_WAIT) && lagMs <= MAX_LAG_MS;
      const noise = `server without its core ${(100 * share).toFixed(1)} % of the time, generator lag p99 ${lagMs.toFixed(1)} ms`;
      if (clean || attempt === TRIES)
        return { results, noise: clean ? noise : `NOISY: ${noise}`, report: await report() };
      console.log(`  discarded: ${noise}`);
    }
  };

  let capacity = 0;
  let failed = 0;
  for (let rate = option('from', 4000); ; rate *= 1.12) {
    const { results, noise } = await gated([{ name: 'step', perSecond: rate, ms: 1500 }], only);
    const [step] = results;
    if (step === undefined) break;
    const good = sum(step, 'good') / (step.ms / 1000);
    console.log(
      `  step ${rate.toFixed(0)}/s: ${good.toFixed(0)}/s in time, p99 ${step.p99.toFixed(1)} ms; ${noise}`,
    );
    capacity = Math.max(capacity, good);
    // One step may fail by bad luck; two in a row are the end.
    failed = sum(step, 'good') < SUSTAINED * sum(step, 'offered') ? failed + 1 : 0;
    if (failed === 2) break;
  }
  console.log(`capacity ${capacity.toFixed(0)}/s with ${connections} connections, deadline ${deadlineMs} ms`);

  for (const factor of [1.5, 2]) {
    const during = { name: `${factor}x`, perSecond: capacity * factor, ms: seconds * 1000 };
    const {
      results,
      noise,
      report: said,
    } = await gated([during, { name: 'after', perSecond: capacity * 0.7, ms: 4000 }], mixed);
    const [phase, after] = results;
    if (phase === undefined || after === undefined) break;
    printPhase(phase, capacity, said);
    console.log(`  ${noise}`);
    const slo = deadlineMs / 2;
    const back = after.slots.findIndex((_, at) => after.slots.slice(at, at + 4).every((p99) => p99 <= slo));
    console.log(
      `  afterwards at 0.7x: p99 below ${slo} ms after ${(back * SLOT_MS) / 1000} s; slots ${after.slots.map((p99) => p99.toFixed(0)).join(' ')}`,
    );
  }
  child.disconnect();
}

function printPhase(phase: PhaseResult, capacity: number, { states, shed }: ServerReport): void {
  const during = states.slice(5, seconds * 10 - 5);
  const goodput = sum(phase, 'good') / (phase.ms / 1000);
  const offered = sum(phase, 'offered') / (phase.ms / 1000);
  console.log(
    `${phase.name}: offered ${offered.toFixed(0)}/s, goodput ${goodput.toFixed(0)}/s = ${((100 * goodput) / capacity).toFixed(0)} % of capacity; ` +
      `p50 ${phase.p50.toFixed(1)}, p99 ${phase.p99.toFixed(1)} ms; 429 p99 ${phase.rejectP99.toFixed(1)} ms`,
  );
  for (const { name, offered: of, good, rejected, late, expired, failed, unsent } of phase.classes) {
    console.log(
      `  ${name}: in time ${((100 * good) / of).toFixed(2)} %, rejected ${rejected}, late ${late}, 504 ${expired}, failed ${failed}, unsent ${unsent} of ${of}`,
    );
  }
  console.log(
    `  limit ${mean(during.map(({ limit }) => limit)).toFixed(0)}, level ${mean(during.map(({ shedLevel }) => shedLevel)).toFixed(0)}, ` +
      `rejecting ${(100 * mean(during.map(({ rejectShare }) => rejectShare))).toFixed(0)} % of the time, ` +
      `request ${(1000 * mean(during.map(({ loopCostMs }) => loopCostMs))).toFixed(0)} µs; ${JSON.stringify(shed)}`,
  );
}

if (process.argv.includes('--serve')) await serve();
else await main();

/**
 * Operating characteristics of a rollout step, by simulation: how often it is wrong and how fast it is right. Writes
 * its tables into `docs/benchmarks.md` between the markers; with fewer seeds than 2,000 it only prints them.
 *
 * usage: node dist/bench/sequential/sequential.bench.js [seeds]
 *
 * All numbers but the CPU times depend on the seeds alone.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { createBreaker, recordOutcome } from '../../domain/rollout/breaker.ts';
import { judgeStep } from '../../domain/rollout/judge.ts';
import { projectRoot } from '../../platform/root.ts';
import { createRng } from '../../test/support/rng.ts';
import type { Rng } from '../../test/support/rng.ts';
import { requestsUntilTrip, startStep, untilMismatch, untilProof, untilRegression } from './simulation.ts';
import type { Outcome, Scenario, SimulatedGuardrail, SimulatedName } from './simulation.ts';
import { binomialInterval, quantile } from './summary.ts';

const LOOKS = 3600;
const SHARE = 0.1;
const TOLERANCE = 0.1;
const MARGIN = 2;
const NEGLIGIBLE = 0.001;
const RATES = [10, 100, 500] as const;
const ERRORS = 0.005;
const SLOW = 0.01;
const INVALID = 0.0002;

const PUBLISHED_SEEDS = 2000;
const seeds = Number(process.argv[2] ?? PUBLISHED_SEEDS);
if (!Number.isInteger(seeds) || seeds < 1)
  throw new Error(`the number of seeds must be a whole number, not ${seeds}`);

/** Every table starts from the same seeds; its own salt keeps its runs apart from those of the others. */
function simulate<T>(salt: number, run: (rng: Rng) => T): readonly T[] {
  return Array.from({ length: seeds }, (_, index) => run(createRng(salt * 2 ** 24 + index + 1)));
}

function guardrail(
  name: SimulatedName,
  championRate: number,
  candidateRate = championRate,
): SimulatedGuardrail {
  return {
    spec: { name, tolerance: TOLERANCE, margin: MARGIN, negligibleRate: NEGLIGIBLE },
    championRate,
    candidateRate,
  };
}

function canary(rps: number, errors: SimulatedGuardrail, changed: Partial<Scenario> = {}): Scenario {
  const guardrails = [errors, guardrail('slow', SLOW), guardrail('invalid', INVALID)];
  return { rps, share: SHARE, looks: LOOKS, guardrails, ...changed };
}

function mistakes(salt: number): string {
  const rows: string[][] = [];
  const add = (what: string, rps: number, promise: string, decided: readonly boolean[]): void => {
    const hits = decided.filter(Boolean).length;
    const { low, high } = binomialInterval(hits, decided.length);
    const interval = `${percent(low)} – ${percent(high)}`;
    rows.push([what, String(rps), `≤ ${promise}`, `${hits} (${percent(hits / decided.length)})`, interval]);
    progress(`${what}, ${rps} rps: ${hits} of ${decided.length}`);
  };
  for (const rps of RATES) {
    const runs = simulate(salt + rps, (rng) =>
      untilRegression(rng, canary(rps, guardrail('errors', ERRORS)), 0.01),
    );
    add('healthy canary rolled back', rps, '1 %', decidedIn(runs));
  }
  const tolerated = guardrail('errors', ERRORS, ERRORS * (1 + TOLERANCE));
  const edge = simulate(salt + 1, (rng) => untilRegression(rng, canary(100, tolerated), 0.01));
  add('canary exactly at the tolerance rolled back', 100, '1 %', decidedIn(edge));
  for (const rps of RATES) {
    const guardrails = [guardrail('errors', ERRORS, ERRORS * MARGIN)];
    const scenario = { rps, share: SHARE, looks: LOOKS, guardrails };
    const runs = simulate(salt + 2 + rps, (rng) => untilProof(rng, scenario, 0.05));
    add('errors exactly at the margin proven safe', rps, '5 %', runs.map(isDecided));
  }
  const absolute = { rps: 100, share: SHARE, looks: LOOKS, guardrails: [guardrail('errors', 0, NEGLIGIBLE)] };
  const runs = simulate(salt + 3, (rng) => untilProof(rng, absolute, 0.05));
  add(
    'errors exactly at the negligible rate proven safe, champion without any',
    100,
    '5 %',
    runs.map(isDecided),
  );
  for (const rps of RATES) {
    const split = { rps, share: SHARE, actualShare: SHARE, looks: LOOKS };
    const found = simulate(salt + 4 + rps, (rng) => untilMismatch(rng, split, 0.001));
    add('correct split called a mismatch', rps, '0.1 %', found.map(isDecided));
  }
  return table(['mistake', 'rps', 'promise', `runs of ${thousands(seeds)}`, '95 % interval'], rows);
}

function detection(salt: number): string {
  const rows: string[][] = [];
  const add = (what: string, rps: number, runs: readonly Outcome[]): void => {
    const looks = runs.map(({ look }) => look);
    const bad = runs.map(({ look, badServed }) => (look === null ? null : badServed));
    const found = looks.filter(isDecided).length / looks.length;
    rows.push([what, String(rps), percent(found), ...spread(looks, time), ...spread(bad, count)]);
    progress(`${what}, ${rps} rps: median ${time(quantile(looks, 0.5))}`);
  };
  const faults: [string, number, number][] = [
    ['0.5 % → 1 %', ERRORS, 0.01],
    ['0.5 % → 2 %', ERRORS, 0.02],
    ['0.5 % → 5 %', ERRORS, 0.05],
    ['0 → 20 %', 0, 0.2],
    ['0 → 100 %', 0, 1],
  ];
  faults.forEach(([what, before, after], index) => {
    for (const rps of RATES) {
      const scenario = canary(rps, guardrail('errors', before, after));
      add(
        what,
        rps,
        simulate(salt + index * 1000 + rps, (rng) => untilRegression(rng, scenario, 0.01)),
      );
    }
  });
  [600, 1800].forEach((healthyLooks, index) => {
    const looks = healthyLooks + LOOKS;
    const scenario = canary(100, guardrail('errors', ERRORS, 0.05), { healthyLooks, looks });
    // A run that was alarmed while still healthy has been counted above, among the mistakes.
    const runs = simulate(salt + 9000 + index, (rng) => untilRegression(rng, scenario, 0.01));
    const late = runs.filter(({ look }) => look === null || look > 0);
    add(`0.5 % → 5 %, after ${healthyLooks / 60} healthy minutes`, 100, late);
  });
  const head = ['fault', 'rps', 'found in an hour', 'median', '95 %', 'bad answers, median', '95 %'];
  return table(head, rows);
}

function proof(salt: number): string {
  const rows: string[][] = [];
  const add = (what: string, rps: number, share: number, guardrails: readonly SimulatedGuardrail[]): void => {
    const scenario = { rps, share, looks: LOOKS, guardrails };
    const runs = simulate(salt + rows.length * 1000 + rps, (rng) => untilProof(rng, scenario, 0.05));
    const proven = percent(runs.filter(isDecided).length / runs.length);
    rows.push([
      what,
      `${share * 100} %`,
      String(rps),
      proven,
      time(quantile(runs, 0.5)),
      time(quantile(runs, 0.95)),
    ]);
    progress(`${what}, ${share * 100} %, ${rps} rps: ${proven} proven`);
  };
  for (const share of [0.1, 0.5]) {
    for (const rps of RATES) add('errors, 0.5 % on both arms', rps, share, [guardrail('errors', ERRORS)]);
  }
  for (const rps of RATES) add('errors, none on either arm', rps, SHARE, [guardrail('errors', 0)]);
  for (const rps of RATES) {
    add('errors, slow and invalid together', rps, SHARE, canary(rps, guardrail('errors', ERRORS)).guardrails);
  }
  return table(['to prove', 'share', 'rps', 'proven in an hour', 'median', '95 %'], rows);
}

function breaker(salt: number): string {
  const rows: string[][] = [];
  for (const [index, failureRate] of [0.1, 0.2, 0.5, 1].entries()) {
    for (const healthy of [0, 36_000]) {
      const arm = { healthy, healthyRate: ERRORS, failureRate, requests: 20_000 };
      const runs = simulate(salt + index * 10 + (healthy > 0 ? 1 : 0), (rng) => requestsUntilTrip(rng, arm));
      const requests = runs.map((run) => run.requests);
      const failures = runs.map((run) => (run.requests === null ? null : run.failures));
      rows.push([
        percent(failureRate),
        thousands(healthy),
        ...spread(requests, count),
        ...spread(failures, count),
      ]);
      progress(`breaker, ${percent(failureRate)} after ${healthy}: median ${count(quantile(requests, 0.5))}`);
    }
  }
  const head = [
    'failing',
    'healthy requests before',
    'requests until trip, median',
    '95 %',
    'failures, median',
    '95 %',
  ];
  return table(head, rows);
}

/** Median and 95 % quantile. */
function spread(
  values: readonly (number | null)[],
  format: (value: number | null) => string,
): readonly string[] {
  return [format(quantile(values, 0.5)), format(quantile(values, 0.95))];
}

/** Time per call, best of five rounds: other work on the machine only ever makes a round slower. */
function nanosPerCall(calls: number, run: () => void): number {
  let best = Infinity;
  for (let round = 0; round < 5; round += 1) {
    const start = performance.now();
    for (let i = 0; i < calls; i += 1) run();
    best = Math.min(best, ((performance.now() - start) / calls) * 1e6);
  }
  return best;
}

function costs(): string {
  const step = startStep(createRng(1), canary(100, guardrail('errors', ERRORS)));
  for (let look = 0; look < 600; look += 1) step.advance();
  const guardrails = canary(100, guardrail('errors', ERRORS)).guardrails.map(({ spec }) => spec);
  const times = { minSamples: 1e9, minDurationMs: 0, maxDurationMs: 1e9, elapsedMs: 600_000, silentMs: 0 };
  const look = nanosPerCall(20_000, () =>
    judgeStep({ kind: 'canary', segments: [step.segment], guardrails, ...times }),
  );
  const arm = createBreaker();
  let requests = 0;
  const outcome = nanosPerCall(2_000_000, () => recordOutcome(arm, (requests += 1) % 200 === 0));
  return (
    `One look of \`judgeStep\` at three guardrails takes ${(look / 1000).toFixed(1)} µs; one request through the ` +
    `breaker (1 in 200 fails) takes ${outcome.toFixed(0)} ns.`
  );
}

function report(): string {
  const tables = [mistakes(1), detection(2), proof(3), breaker(4)];
  const [cpu] = cpus();
  const machine = `${cpu?.model ?? 'unknown CPU'}, ${cpus().length} cores, Node ${process.version}`;
  const used = process.cpuUsage();
  const cpuSeconds = Math.round((used.user + used.system) / 1e6);
  const setting =
    `Requests arrive at random (Poisson); 10 % go to the candidate unless a share is given; a look each second for ` +
    `an hour (3,600 looks) or until the decision. Three guardrails are judged together: errors (champion 0.5 %), slow ` +
    `(1 %) and invalid (0.02 %), each with tolerance ${TOLERANCE}, margin ${MARGIN} and negligible rate ` +
    `${percent(NEGLIGIBLE)}. ${thousands(seeds)} seeded runs a row, so a second run gives the same tables.`;
  return [
    '## Sequential decisions of a rollout step',
    `\`npm run bench:sequential\` · ${machine} · ${cpuSeconds} s of CPU time`,
    setting,
    '### How often it is wrong',
    `Promises are upper bounds for any number of looks, so measured rates should lie at or below them, within the interval. Where the true rate is at a ` +
      `bound, it is measured exactly there: the worst case that the promise covers.`,
    tables[0],
    '### How fast a regression is found',
    `Champion's error rate → candidate's. Time from the fault to the verdict, by the e-processes alone (without the gateway's breaker); the bad answers ` +
      `are those that the candidate gave until then. Evidence of a healthy past delays the alarm: see the last rows.`,
    tables[1],
    '### How long proof of safety takes',
    `A candidate exactly as good as the champion. "–": not within the hour in half (median) or in 1 of 20 runs ` +
      `(95 %). At low traffic an hour is not enough: choose a larger share, a longer step or a wider margin.`,
    tables[2],
    "### The gateway's own breaker",
    `Requests of the failing arm until it is taken out, counted from the fault on, with default settings ` +
      `(5 in a row, or e ≥ 1,000 against 5 %). It sees single requests and waits for no look, but knows no champion: ` +
      `small regressions are not its business, and "–" was not found within 20,000 requests.`,
    tables[3],
    `### What it costs`,
    costs(),
  ].join('\n\n');
}

const BEGIN = '<!-- sequential:begin -->';
const END = '<!-- sequential:end -->';
const INTRO = `# Benchmarks

What was measured, by which command, on which machine. The tables are written by the benchmarks themselves and are not
edited by hand; absolute times hold for the named machine only. To check a number, run its command.
`;

function publish(text: string): void {
  const file = join(projectRoot(), 'docs', 'benchmarks.md');
  const old = existsSync(file) ? readFileSync(file, 'utf8') : INTRO;
  const begin = old.indexOf(BEGIN);
  const end = old.indexOf(END);
  if (begin < 0 !== end < 0 || end < begin)
    throw new Error(`${file} has only one of the markers ${BEGIN} and ${END}`);
  const section = `${BEGIN}\n\n${text}\n\n${END}`;
  const changed =
    begin < 0
      ? `${old.trimEnd()}\n\n${section}\n`
      : old.slice(0, begin) + section + old.slice(end + END.length);
  writeFileSync(file, changed);
  progress(`written to ${file}`);
}

function decidedIn(runs: readonly Outcome[]): boolean[] {
  return runs.map(({ look }) => isDecided(look));
}

function isDecided(look: number | null): look is number {
  return look !== null;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) =>
    Math.max(title.length, ...rows.map((row) => (row[i] as string).length)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(' | ')} |`;
  const rule = `| ${widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}

function percent(part: number): string {
  return `${Number((part * 100).toPrecision(part < 0.0995 ? 2 : 3))} %`;
}

function time(looks: number | null): string {
  return looks === null ? '–' : `${thousands(looks)} s`;
}

function count(value: number | null): string {
  return value === null ? '–' : thousands(value);
}

function thousands(value: number): string {
  return value.toLocaleString('en-US');
}

function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}

// A short run is for looking at; only the full one is published.
if (seeds < PUBLISHED_SEEDS) process.stdout.write(`${report()}\n`);
else publish(report());

/**
 * The gateway under open-loop load, on one core, the generator on another: how much it carries at its objective, and
 * what happens when the rate changes, exceeds the capacity, lasts, or the model is swapped meanwhile. Linux only: CPU
 * time and the pressure on the machine come from `/proc`.
 *
 *   node dist/bench/serving/load.bench.js
 *     [--profiles bare,capacity,step,peak,overload,swap,soak] [--capacity n] [--quick]
 *     [--soak-minutes 30] [--soak-rate n] [--out FOLDER] [--write]
 *
 * Each profile's raw results go into its own JSON file in `--out` (else in the cache folder); the report is made of
 * all that are there. `--write` puts it into docs/benchmarks.md, with its plots beside. With `--profiles none` nothing
 * is measured. The profiles that need the capacity take it from `--capacity`, or from the file.
 */
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { constants, setPriority, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { stackPaths } from '../../platform/config.ts';
import { projectRoot } from '../../platform/root.ts';
import { serveUnderLoad } from './load/load-server.ts';
import { plots } from './load/plots.ts';
import { pinnedTo } from './load/poisson-load.ts';
import { FULL, QUICK, capacity, overload, peak, stepLoad, swapUnderLoad, warmUp } from './load/profiles.ts';
import { loadReport } from './load/report.ts';
import { PROFILES, environmentOf, keep, readResults } from './load/results.ts';
import type { Environment, Profile, Windows } from './load/results.ts';
import { LOAD_CORE, SERVER_CORE, ServerUnderLoad } from './load/server-under-load.ts';
import { soak } from './load/soak.ts';
import { measureBare } from './peers/measure.ts';
import type { BareCell } from './peers/measure.ts';
import { benchModel } from './peers/models.ts';
import type { BenchModel } from './peers/models.ts';
import { serve } from './peers/own-servers.ts';
import { startForked } from './peers/server-process.ts';

const PROGRAM = fileURLToPath(import.meta.url);
const BARE = { batches: [1, 16, 64], rounds: 5, ms: 600 };
/** Of the capacity. */
const SOAK_SHARE = 0.2;
const QUICK_SOAK_MINUTES = 0.3;

interface Options {
  readonly profiles: readonly Profile[];
  readonly capacity: number | undefined;
  readonly quick: boolean;
  readonly soakMinutes: number;
  readonly soakRate: number | undefined;
  readonly out: string;
  readonly write: boolean;
}

function readOptions(args: string[]): Options {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  const { values } = parseArgs({
    args,
    options: {
      profiles: { ...text, default: PROFILES.filter((profile) => profile !== 'soak').join(',') },
      'soak-minutes': text,
      'soak-rate': text,
      capacity: text,
      out: text,
      quick: flag,
      write: flag,
    },
  });
  const named = values.profiles === 'none' ? [] : values.profiles.split(',');
  const unknown = named.filter((name) => !PROFILES.some((profile) => profile === name));
  if (unknown.length > 0)
    throw new Error(`there is no profile ${unknown.join(', ')}; choose from ${PROFILES.join(', ')}`);
  const number = (value: string | undefined): number | undefined =>
    value === undefined ? undefined : Number(value);
  return {
    profiles: PROFILES.filter((profile) => named.includes(profile)),
    capacity: number(values.capacity),
    quick: values.quick,
    soakMinutes: number(values['soak-minutes']) ?? (values.quick ? QUICK_SOAK_MINUTES : 30),
    soakRate: number(values['soak-rate']),
    out: resolve(values.out ?? join(stackPaths().cacheFolder, 'bench-load')),
    write: values.write,
  };
}

async function run(profile: Profile, options: Options, session: Session): Promise<void> {
  const { out, quick } = options;
  const { server, environment } = session;
  const lengths = quick ? QUICK : FULL;
  const before = { taken: server.windows, discarded: server.discarded, keptNoisy: server.keptNoisy };
  const kept = <Result>(result: Result): { environment: Environment; windows: Windows; result: Result } => ({
    environment,
    windows: {
      taken: server.windows - before.taken,
      discarded: server.discarded - before.discarded,
      keptNoisy: server.keptNoisy - before.keptNoisy,
    },
    result,
  });
  console.error(profile);
  switch (profile) {
    case 'bare':
      return await keep(out, profile, kept(await bare(session)));
    case 'capacity':
      return await keep(out, profile, kept(await capacity(server, lengths)));
    case 'step':
      return await keep(out, profile, kept(await stepLoad(server, await rate(options), lengths)));
    case 'peak':
      return await keep(out, profile, kept(await peak(server, await rate(options), lengths)));
    case 'overload':
      return await keep(out, profile, kept(await overload(server, await rate(options), lengths)));
    case 'swap':
      return await keep(out, profile, kept(await swapUnderLoad(server, await rate(options), lengths)));
    case 'soak': {
      const perSecond = options.soakRate ?? SOAK_SHARE * (await rate(options));
      setPriority(constants.priority.PRIORITY_BELOW_NORMAL);
      await soak(server, perSecond, options.soakMinutes, (result) => {
        const { minute, rssBytes, offered, failed, p99 } = result.samples.at(-1) ?? {};
        console.error(`  ${JSON.stringify({ minute, rssBytes, offered, failed, p99 })}`);
        return keep(out, profile, kept(result));
      });
    }
  }
}

async function rate({ capacity: given, out }: Options): Promise<number> {
  const found = given ?? (await readResults(out)).capacity?.result.perSecond;
  if (found === undefined || !(found > 0))
    throw new Error('the capacity is not known: run the profile capacity first, or give --capacity');
  return found;
}

interface Session {
  readonly server: ServerUnderLoad;
  readonly environment: Environment;
  readonly model: BenchModel;
  readonly core: number | null;
  readonly home: string;
}

async function bare({ model, core, home }: Session): Promise<BareCell[]> {
  const server = await startForked({
    command: process.execPath,
    args: [PROGRAM, '--serve', 'bare', model.file, String(model.features)],
    logFile: join(home, 'bare.txt'),
    core,
  });
  const cells: BareCell[] = [];
  for (let round = 0; round < BARE.rounds; round += 1)
    for (const batch of BARE.batches) cells.push(await measureBare(server, batch, round, BARE.ms));
  await server.stop();
  return cells;
}

async function measureAll(options: Options): Promise<void> {
  const model = await benchModel('elec2', stackPaths().cacheFolder);
  const home = await mkdtemp(join(tmpdir(), 'slipway-load-'));
  const core = pinnedTo(SERVER_CORE).length > 0 && pinnedTo(LOAD_CORE).length > 0 ? SERVER_CORE : null;
  const { title, digest } = model;
  const environment = environmentOf({
    pinned: core !== null,
    quick: options.quick,
    model: { title, digest },
  });
  // What starts, waits and reads here must not run on the server's core.
  if (core !== null) spawnSync('taskset', ['-acp', String(LOAD_CORE), String(process.pid)]);
  const logFile = join(home, 'server.txt');
  const server = await ServerUnderLoad.start(PROGRAM, model, logFile, core);
  try {
    await warmUp(server);
    for (const profile of options.profiles)
      await run(profile, options, { server, environment, model, core, home });
  } finally {
    await server.stop();
    process.stderr.write((await readFile(logFile, 'utf8')).slice(-4000));
    await rm(home, { recursive: true, force: true });
  }
}

async function writeIntoPage(markdown: string, files: ReadonlyMap<string, string>): Promise<void> {
  const docs = join(projectRoot(), 'docs');
  await mkdir(join(docs, 'benchmarks'), { recursive: true });
  for (const [name, svg] of files) await writeFile(join(docs, 'benchmarks', name), svg);
  const [begin, end] = ['<!-- load:begin -->', '<!-- load:end -->'];
  const file = join(docs, 'benchmarks.md');
  const page = await readFile(file, 'utf8');
  const block = `${begin}\n\n${markdown}\n\n${end}`;
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  const next =
    from === -1 || to === -1
      ? `${page.trimEnd()}\n\n${block}\n`
      : page.slice(0, from) + block + page.slice(to + end.length);
  await writeFile(file, next);
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (options.profiles.length > 0) await measureAll(options);
  const results = await readResults(options.out);
  const markdown = loadReport(results);
  console.log(markdown);
  console.error(`raw results: ${options.out}`);
  if (options.write) await writeIntoPage(markdown, plots(results));
}

if (process.argv[2] !== '--serve') await main();
else if (process.argv[3] === 'load') await serveUnderLoad(process.argv[4] ?? '', Number(process.argv[5]));
else await serve(process.argv.slice(3));

/**
 * Slipway's gateway beside other model servers: server CPU per request and latency at 1, 16 and 64 connections, the
 * same ONNX file for all, interleaved in one run. Linux only: costs come from `/proc`.
 *
 *   node dist/bench/serving/peers/peers.bench.js
 *     [--models elec2,wide] [--servers slipway,triton-python,…] [--connections 1,16,64] [--rounds 5] [--ms 1200]
 *     [--triton-backends FOLDER] [--out FILE] [--write] [--profile FOLDER]
 *
 * The first run makes virtual environments for Triton and MLServer in the cache folder, from the pinned requirements
 * beside this file. The wheel with Triton's server has its Python backend only; `--triton-backends` names a folder
 * with `onnxruntime/libtriton_onnxruntime.so`, see docs/benchmarks.md. `--write` puts the tables into that page.
 * `--profile` measures nothing: it takes a CPU profile of the gateway at the most connections.
 */
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, release, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { stackPaths } from '../../../platform/config.ts';
import { projectRoot } from '../../../platform/root.ts';
import { contestants } from './contestants.ts';
import type { Contestant } from './contestants.ts';
import { LoadClient } from './load-client.ts';
import { measure, measureBare } from './measure.ts';
import type { BareCell, Cell, Subject } from './measure.ts';
import { benchModel } from './models.ts';
import type { BenchModel, ModelName } from './models.ts';
import { serve } from './own-servers.ts';
import { selfTimes } from './profile.ts';
import { REFERENCE, report } from './report.ts';
import type { Environment, ModelResult } from './report.ts';
import { probe, requestBytes } from './requests.ts';
import { startForked } from './server-process.ts';
import type { ServerProcess } from './server-process.ts';

const PROGRAM = fileURLToPath(import.meta.url);
const BATCHES = [1, 16, 64];
/** The same file in the same runtime, but for another build of it. */
const SCORE_TOLERANCE = 1e-4;
/** Extra rounds for noisy ones, as a multiple of those wanted. */
const PATIENCE = 2;
/** Compilers that watch what runs, as V8's, need some ten thousand requests to be done. */
const WARM_UP_CONNECTIONS = 16;
const WARM_UP_MS = 3000;
const PROFILE_MS = 8000;
const TOP = 30;

interface Options {
  readonly models: readonly ModelName[];
  readonly servers: readonly string[] | null;
  readonly connections: readonly number[];
  readonly rounds: number;
  readonly ms: number;
  readonly tritonBackends: string | undefined;
  readonly out: string | undefined;
  readonly write: boolean;
  readonly profile: string | undefined;
}

function readOptions(args: string[]): Options {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args,
    options: {
      models: { ...text, default: 'elec2,wide' },
      servers: text,
      connections: { ...text, default: '1,16,64' },
      rounds: { ...text, default: '5' },
      ms: { ...text, default: '1200' },
      'triton-backends': text,
      out: text,
      write: { type: 'boolean', default: false },
      profile: text,
    },
  });
  return {
    models: values.models.split(',') as ModelName[],
    servers: values.servers?.split(',') ?? null,
    connections: values.connections.split(',').map(Number),
    rounds: Number(values.rounds),
    ms: Number(values.ms),
    tritonBackends: values['triton-backends'] && resolve(values['triton-backends']),
    out: values.out,
    write: values.write,
    profile: values.profile,
  };
}

/** The client takes the last core, the servers the first; null when there is nothing to pin. */
function pin(): number | null {
  if (availableParallelism() < 2) return null;
  try {
    execFileSync('taskset', ['-apc', String(cpus().length - 1), String(process.pid)], { stdio: 'ignore' });
    return 0;
  } catch {
    // No taskset: the report says that nothing is pinned.
    return null;
  }
}

interface Field {
  readonly subjects: readonly Subject[];
  readonly bare: ServerProcess;
  readonly absent: ModelResult['absent'];
  readonly servers: readonly ServerProcess[];
}

/** Starts everyone and asks each for the same score; who gives none, or another one, does not take part. */
async function assemble(
  model: BenchModel,
  wanted: readonly Contestant[],
  core: number | null,
  home: string,
): Promise<Field> {
  const started = new Map<string, Promise<ServerProcess>>();
  const subjects: Subject[] = [];
  const absent: { name: string; reason: string }[] = [];
  const [row = new Float32Array()] = model.rows;
  let expected: number | undefined;
  for (const { name, server, encoding, start, canned = false } of wanted) {
    try {
      const folder = join(home, server);
      await mkdir(folder, { recursive: true });
      const starting = started.get(server) ?? start({ model, core, folder, program: PROGRAM });
      started.set(server, starting);
      const running = await starting;
      const score = await probe(running.port, row, encoding);
      expected ??= score;
      if (!canned && Math.abs(score - expected) > SCORE_TOLERANCE)
        throw new Error(`it scores ${score} where ${subjects[0]?.name} scores ${expected}`);
      subjects.push({ name, server: running, requests: requestBytes(model.rows, encoding) });
      console.error(`${name} is ready, score ${score}`);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      absent.push({ name, reason });
      console.error(`${name} does not take part: ${reason}`);
    }
  }
  const bare = await startForked({
    command: process.execPath,
    args: [PROGRAM, '--serve', 'bare', model.file, String(model.features)],
    logFile: join(home, 'bare.txt'),
    core,
  });
  const running = await Promise.allSettled(started.values());
  const servers = running.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  return { subjects, bare, absent, servers: [...servers, bare] };
}

async function compare(model: BenchModel, options: Options, core: number | null): Promise<ModelResult> {
  const home = await mkdtemp(join(tmpdir(), 'slipway-peers-'));
  const all = contestants(options.tritonBackends);
  const wanted = all.filter(({ name }) => options.servers === null || options.servers.includes(name));
  const { subjects, bare, absent, servers } = await assemble(model, wanted, core, home);
  const cells: Cell[] = [];
  const bareCells: BareCell[] = [];
  try {
    if (absent.some(({ name }) => name === REFERENCE)) throw new Error(`${REFERENCE} has to take part`);
    for (const subject of subjects) await measure(subject, WARM_UP_CONNECTIONS, -1, WARM_UP_MS);
    for (const connections of options.connections) {
      let quiet = 0;
      for (let round = 0; quiet < options.rounds && round < options.rounds * PATIENCE; round += 1) {
        const inRound: Cell[] = [];
        for (let turn = 0; turn < subjects.length; turn += 1) {
          const subject = subjects[(turn + round) % subjects.length] as Subject;
          inRound.push(await measure(subject, connections, round, options.ms));
        }
        cells.push(...inRound);
        const noisy = inRound.some((cell) => cell.noisy);
        if (!noisy) quiet += 1;
        console.error(progress(model.name, connections, round, noisy, inRound));
      }
    }
    for (let round = 0; round < options.rounds; round += 1)
      for (const batch of BATCHES) bareCells.push(await measureBare(bare, batch, round, options.ms / 2));
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
    await rm(home, { recursive: true, force: true });
  }
  const { rows: _rows, file: _file, ...described } = model;
  return { model: described, cells, bare: bareCells, absent };
}

function progress(
  model: string,
  connections: number,
  round: number,
  noisy: boolean,
  cells: readonly Cell[],
): string {
  const costs = cells.map(({ contestant, cpuUs }) => `${contestant} ${cpuUs.toFixed(0)}`).sort();
  return `${model}, ${connections} connections, round ${round}${noisy ? ', noisy' : ''}: ${costs.join(', ')}`;
}

/** Of the gateway under full load from its first request on; ends it, since Node writes the profile then. */
async function profile(
  model: BenchModel,
  folder: string,
  connections: number,
  core: number | null,
): Promise<void> {
  const home = await mkdtemp(join(tmpdir(), 'slipway-peers-'));
  const [gateway] = contestants(undefined);
  if (gateway === undefined) return;
  const nodeArgs = ['--cpu-prof', '--cpu-prof-interval', '500', '--cpu-prof-dir', resolve(folder)];
  const server = await gateway.start({ model, core, folder: home, program: PROGRAM, nodeArgs });
  const client = await LoadClient.open(server.port, connections, requestBytes(model.rows, gateway.encoding));
  const { requests, elapsedMs } = await client.run(PROFILE_MS);
  client.close();
  await server.stop();
  await rm(home, { recursive: true, force: true });
  console.log(`${requests} requests in ${(elapsedMs / 1000).toFixed(1)} s; own time, without idling:`);
  for (const { name, share } of (await selfTimes(folder)).slice(0, TOP))
    console.log(`${(100 * share).toFixed(1).padStart(5)} %  ${name}`);
}

function environmentOf(options: Options, core: number | null): Environment {
  const git = (...args: string[]): string =>
    execFileSync('git', args, { cwd: projectRoot(), encoding: 'utf8' }).trim();
  const changed = git('status', '--porcelain', '--untracked-files=no') !== '';
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: `commit ${git('rev-parse', '--short', 'HEAD')}${changed ? ' with changes' : ''}`,
    cpu: cpus()[0]?.model ?? 'unknown CPU',
    cores: cpus().length,
    kernel: release(),
    node: process.version,
    pinned: core !== null,
    roundMs: options.ms,
    rounds: options.rounds,
  };
}

async function writeIntoPage(markdown: string): Promise<void> {
  const [begin, end] = ['<!-- peers:begin -->', '<!-- peers:end -->'];
  const file = join(projectRoot(), 'docs', 'benchmarks.md');
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
  const { cacheFolder } = stackPaths();
  const models = [];
  for (const name of options.models) models.push(await benchModel(name, cacheFolder));
  const core = pin();
  if (options.profile !== undefined) {
    const [model] = models;
    if (model !== undefined) await profile(model, options.profile, Math.max(...options.connections), core);
    return;
  }
  const environment = environmentOf(options, core);
  const results = [];
  for (const model of models) results.push(await compare(model, options, core));
  const markdown = report(environment, results, contestants(options.tritonBackends));
  console.log(markdown);
  if (options.out !== undefined)
    await writeFile(options.out, `${JSON.stringify({ environment, results }, null, 1)}\n`);
  if (options.write) await writeIntoPage(markdown);
}

if (process.argv[2] === '--serve') await serve(process.argv.slice(3));
else await main();

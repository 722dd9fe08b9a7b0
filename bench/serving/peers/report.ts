/** The comparison as Markdown. */
import { createRng } from '../../../test/support/rng.ts';
import type { Contestant } from './contestants.ts';
import type { BareCell, Cell } from './measure.ts';
import { percentileUs } from './measure.ts';
import type { BenchModel } from './models.ts';
import { pairedRatio, range } from './summary.ts';
import type { Range } from './summary.ts';

export interface ModelResult {
  readonly model: Omit<BenchModel, 'rows' | 'file'>;
  readonly cells: readonly Cell[];
  readonly bare: readonly BareCell[];
  /** Contestants that did not take part, and why. */
  readonly absent: readonly { readonly name: string; readonly reason: string }[];
}

export interface Environment {
  readonly date: string;
  readonly commit: string;
  readonly cpu: string;
  readonly cores: number;
  readonly kernel: string;
  readonly node: string;
  readonly pinned: boolean;
  readonly roundMs: number;
  /** Quiet rounds wanted. */
  readonly rounds: number;
}

/** Whom the others are compared with. */
export const REFERENCE = 'slipway';
const FEWEST_QUIET = 3;

const DIFFERENCES = [
  'What each does beside the prediction, and how it is set up:',
  [
    '- Slipway: checks the request against the contract of the endpoint, admits, routes and batches it, counts metrics, traces 1 % of the requests (spans are made and not sent anywhere), logs the prediction, and names version, arm and prediction in the answer. One process.',
    '- Triton 2.51, the C++ server in the wheel `nvidia-pytriton` 0.7.0: dynamic batching without delay, batches up to 64 rows, one instance, one HTTP thread, metrics on; no tracing, no log, no routing. The wheel has the Python backend only, which here runs ONNX Runtime in Python. The ONNX Runtime backend is NVIDIA\'s, built by `bench/serving/peers/build-triton-backend.sh` from its sources with the `libonnxruntime` of the gateway. "From its cache" answers from Triton\'s response cache and runs no model: no backend can be cheaper than that.',
    '- MLServer 1.7.1 with a runtime of its own that runs ONNX Runtime, in the serving process (`parallel_workers: 0`), metrics on, access log off; with adaptive batching 64 requests or 2 ms.',
    '- All run the model with one thread, on the CPU.',
  ].join('\n'),
].join('\n\n');

/** Rounds in which every cell was quiet, or all of them when these are too few to say anything. */
function usable<T extends { readonly round: number; readonly noisy: boolean }>(
  cells: readonly T[],
): { used: readonly T[]; rounds: number; dropped: number; quiet: boolean } {
  const all = new Set(cells.map(({ round }) => round));
  const noisy = new Set(cells.filter((cell) => cell.noisy).map(({ round }) => round));
  const quiet = all.size - noisy.size >= FEWEST_QUIET;
  const used = quiet ? cells.filter(({ round }) => !noisy.has(round)) : cells;
  return { used, rounds: quiet ? all.size - noisy.size : all.size, dropped: noisy.size, quiet };
}

export function report(
  environment: Environment,
  results: readonly ModelResult[],
  list: readonly Contestant[],
): string {
  const { cpu, cores, node, kernel, pinned, roundMs, commit, date } = environment;
  const parts = [
    '## Peers: what one prediction costs the server',
    `\`npm run bench:peers\` · ${cpu}, ${cores} cores, Linux ${kernel}, Node ${node} · ${commit} · ${date}`,
    `One JSON prediction of one row per request over keep-alive connections, in a closed loop. ${pinned ? 'Each server is pinned to one core and the client to another (which may share a physical core and does share caches)' : 'Nothing is pinned: there is no `taskset`, or one core only'}. CPU is that of the whole process tree, from the scheduler's own count. In each round of ${roundMs} ms a server all take their turn; ratios are taken within rounds. A round in which anything else used more than a tenth of a core is dropped. p50 and p99 are of all rounds together, in milliseconds.`,
    DIFFERENCES,
    ...results.map((result) => modelPart(result, list)),
  ];
  return parts.join('\n\n');
}

function modelPart({ model, cells, bare, absent }: ModelResult, list: readonly Contestant[]): string {
  const parts = [
    `### ${model.title}`,
    `The same file for all: ${(model.bytes / 1000).toFixed(0)} kB, SHA-256 \`${model.digest.slice(0, 16)}…\`.`,
  ];
  const connections = [...new Set(cells.map((cell) => cell.connections))].sort((a, b) => a - b);
  for (const count of connections) {
    const { used, rounds, dropped, quiet } = usable(cells.filter((cell) => cell.connections === count));
    const note = quiet
      ? `${dropped} noisy dropped`
      : `**provisional: ${dropped} of them on a noisy machine**`;
    parts.push(
      `**${count} connection${count === 1 ? '' : 's'}** · ${rounds} rounds, ${note}`,
      table(used, list),
    );
  }
  parts.push(bareTable(bare), verdicts(cells, bare));
  for (const { name, reason } of absent) parts.push(`Not in this run: ${name} (${reason}).`);
  return parts.join('\n\n');
}

function table(cells: readonly Cell[], list: readonly Contestant[]): string {
  const lines = [
    '| server | CPU-µs per request | CPU against Slipway | p50 | p99 | requests per second |',
    '| --- | --: | --: | --: | --: | --: |',
  ];
  for (const { name, title } of list) {
    const own = cells.filter(({ contestant }) => contestant === name);
    if (own.length === 0) continue;
    const ratio = name === REFERENCE ? '1' : times(against(cells, name, REFERENCE));
    const rate = range(own.map(({ requests, seconds }) => requests / seconds)).median;
    const row = [title, spread(range(own.map(({ cpuUs }) => cpuUs))), ratio];
    row.push(
      millis(percentileUs(own, 50)),
      millis(percentileUs(own, 99)),
      Math.round(rate).toLocaleString('en-US'),
    );
    lines.push(`| ${row.join(' | ')} |`);
  }
  return lines.join('\n');
}

function bareTable(cells: readonly BareCell[]): string {
  const lines = [
    'The model alone, run in a row in one process by ONNX Runtime: the limit.',
    '',
    '| rows per run | CPU-µs per run | CPU-µs per row | p50 of a run, ms |',
    '| --: | --: | --: | --: |',
  ];
  for (const batch of new Set(cells.map((cell) => cell.batch))) {
    const { used } = usable(cells.filter((cell) => cell.batch === batch));
    const cost = range(used.map(({ cpuUs }) => cpuUs));
    const p50 = range(used.map(({ p50Us }) => p50Us)).median;
    lines.push(`| ${batch} | ${spread(cost)} | ${(cost.median / batch).toFixed(1)} | ${millis(p50)} |`);
  }
  return lines.join('\n');
}

/** `name`'s CPU over `base`'s, round by round. */
function against(cells: readonly Cell[], name: string, base: string): Range {
  const of = (contestant: string): ReadonlyMap<number, number> =>
    new Map(cells.filter((cell) => cell.contestant === contestant).map((cell) => [cell.round, cell.cpuUs]));
  const [above, below] = [of(name), of(base)];
  const rounds = [...above.keys()].filter((round) => below.has(round));
  const values = (costs: ReadonlyMap<number, number>): number[] =>
    rounds.map((round) => costs.get(round) ?? NaN);
  return pairedRatio(values(above), values(below), createRng(1));
}

function verdicts(cells: readonly Cell[], bare: readonly BareCell[]): string {
  const lines = ['| target | measured | |', '| --- | --: | --- |'];
  const add = (target: string, measured: string, met: boolean): void => {
    lines.push(`| ${target} | ${measured} | ${met ? 'met' : 'missed'} |`);
  };
  const at = (connections: number): readonly Cell[] =>
    usable(cells.filter((cell) => cell.connections === connections)).used;
  const of = (connections: number, name: string): readonly Cell[] =>
    at(connections).filter(({ contestant }) => contestant === name);
  for (const connections of [1, 16, 64]) {
    for (const [peer, title] of [
      ['triton-onnx', "Triton's ONNX Runtime backend"],
      ['triton-python', "Triton's Python backend"],
    ] as const) {
      if (of(connections, peer).length === 0 || of(connections, REFERENCE).length === 0) continue;
      const ratio = against(at(connections), peer, REFERENCE);
      add(`less CPU than ${title} at ${connections}`, `${times(ratio)} of ours`, ratio.low > 1);
    }
    for (const peer of ['mlserver', 'mlserver-batching']) {
      if (of(connections, peer).length === 0 || of(connections, REFERENCE).length === 0) continue;
      const ratio = against(at(connections), peer, REFERENCE);
      add(`≥ 5 times less CPU than ${peer} at ${connections}`, `${times(ratio)} of ours`, ratio.low >= 5);
    }
  }
  for (const [name, limit] of [
    [REFERENCE, 120],
    ['slipway-binary', 90],
  ] as const) {
    const costs = of(64, name).map(({ cpuUs }) => cpuUs);
    if (costs.length === 0) continue;
    const { median } = range(costs);
    add(`${name} ≤ ${limit} CPU-µs at 64`, median.toFixed(0), median <= limit);
  }
  const single = of(1, REFERENCE);
  const alone = usable(bare.filter(({ batch }) => batch === 1)).used;
  if (single.length > 0 && alone.length > 0) {
    const overhead = percentileUs(single, 50) - range(alone.map(({ p50Us }) => p50Us)).median;
    add('p50 at 1 connection ≤ 200 µs over the bare run', `${overhead.toFixed(0)} µs`, overhead <= 200);
  }
  return lines.join('\n');
}

function spread({ median, low, high }: Range): string {
  return `${median.toFixed(0)} (${low.toFixed(0)} – ${high.toFixed(0)})`;
}

function times({ median, low, high }: Range): string {
  return `${median.toFixed(2)} × (${low.toFixed(2)} – ${high.toFixed(2)})`;
}

function millis(us: number): string {
  return (us / 1000).toFixed(us < 10_000 ? 2 : 1);
}

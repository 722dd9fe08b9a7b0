/** The load profiles as Markdown. */
import {
  CONNECTIONS,
  DEADLINE_MS,
  MIXED,
  NOISE_RULE,
  SLO_MS,
  goodput,
  offered,
  total,
} from './server-under-load.ts';
import type { LoadWindow } from './server-under-load.ts';
import { ANSWERED, secondsToRecover, typical } from './profiles.ts';
import type { CapacityResult, OverloadResult, PhasesResult, SwapResult } from './profiles.ts';
import type { PhaseResult } from './poisson-load.ts';
import type { Environment, Kept, Results } from './results.ts';
import { median } from './soak.ts';
import type { SoakResult } from './soak.ts';
import type { BareCell } from '../peers/measure.ts';

const MEGABYTE = 1024 * 1024;

type Row = readonly string[];

export function loadReport(results: Results): string {
  const { bare, capacity, step, peak, overload, swap, soak } = results;
  const environment = (capacity ?? overload ?? step ?? peak ?? swap ?? soak ?? bare)?.environment;
  if (environment === undefined) throw new Error('there is nothing to report: run a profile first');
  return [
    ...head(environment),
    ...cost(bare?.result, capacity, step),
    ...(capacity === undefined ? [] : capacityPart(capacity)),
    ...(step === undefined ? [] : phasesPart('Step load', step, stepText(step.result))),
    ...(peak === undefined ? [] : phasesPart('Peaks', peak, peakText(peak.result))),
    ...(overload === undefined ? [] : overloadPart(overload)),
    ...(swap === undefined ? [] : swapPart(swap)),
    ...(soak === undefined ? [] : soakPart(soak)),
  ].join('\n\n');
}

function head({ cpu, cores, kernel, node, pinned, model }: Environment): string[] {
  const { foreign, serverWaited, lagP99Ms } = NOISE_RULE;
  return [
    '## Load: latency, overload and long runs',
    `\`npm run bench:serving\` · ${cpu}, ${cores} cores, Linux ${kernel}, Node ${node}`,
    `The whole gateway, with validation, metrics, traces of 1 %, the prediction log on disk with every feature, and a canary that gets 10 %. ${model.title}; SHA-256 \`${model.digest.slice(0, 16)}…\`. One JSON prediction of one row per request, over ${CONNECTIONS} keep-alive connections. Requests come at random (Poisson) whether or not the gateway keeps up, and latency counts from the time a request was meant to be sent, so that a stop of the gateway is charged to every request that it held up. ${pinned ? 'The gateway is pinned to one core and the generator to the other; these may share a physical core and do share caches.' : 'Nothing is pinned: there is no `taskset`, or one core only.'} A request's deadline is ${DEADLINE_MS} ms, "in time" is an answer with status 200 before it, and the objective is a p99 under ${SLO_MS} ms.`,
    `A window is noisy when anything else ran or was stolen for more than ${percent(foreign)} of a core, when the gateway's main thread waited for its core for more than ${percent(serverWaited)} of the time, or when the generator's p99 was more than ${lagP99Ms} ms behind its plan. Noisy windows are discarded and repeated; those that stayed noisy to the last try are kept and marked with *.`,
    'To repeat: `npm run bench:serving -- --write` takes all profiles but the soak, `npm run bench:serving -- --profiles soak --soak-minutes 30 --write` the soak; each writes the raw results (with whole histograms) as JSON into the folder given with `--out` and makes this section from all that lie there. `--quick` proves in two minutes that everything runs; its numbers say nothing. Linux only.',
  ];
}

function cost(
  bare: readonly BareCell[] | undefined,
  capacity: Kept<CapacityResult> | undefined,
  step: Kept<PhasesResult> | undefined,
): string[] {
  const rows: Row[] = [];
  for (const batch of new Set(bare?.map((cell) => cell.batch))) {
    const cells = (bare ?? []).filter((cell) => cell.batch === batch);
    const of = (field: 'cpuUs' | 'p50Us' | 'p99Us'): number => median(cells.map((cell) => cell[field]));
    const each = of('cpuUs') / batch;
    const name = `bare run of the model, ${batch === 1 ? 'one row' : `${batch} rows`} at a time`;
    rows.push([
      name,
      each.toFixed(1),
      whole(1e6 / each),
      millis(of('p50Us') / 1000),
      millis(of('p99Us') / 1000),
    ]);
  }
  const best = capacity === undefined ? undefined : atCapacity(capacity.result);
  if (best !== undefined) {
    const { window, phase } = best;
    const each = window.cpuUsPerRequest;
    rows.push([
      `gateway at its capacity${star(window)}`,
      each.toFixed(1),
      whole(goodput(phase)),
      millis(phase.p50),
      millis(phase.p99),
    ]);
  }
  if (step !== undefined) {
    const { window } = step.result;
    rows.push([`gateway over the step load${star(window)}`, window.cpuUsPerRequest.toFixed(1), '', '', '']);
  }
  if (rows.length === 0) return [];
  return [
    '### What the model alone costs',
    'A bare run calls the ONNX Runtime in a loop on one thread, without HTTP, validation or anything else: the limit that no gateway around it can beat.',
    table(['', 'CPU-µs per prediction', 'predictions per second of one core', 'p50, ms', 'p99, ms'], rows),
  ];
}

function atCapacity({
  perSecond,
  windows,
}: CapacityResult): { window: LoadWindow; phase: PhaseResult } | undefined {
  const found = windows.findLast(({ phases }) => phases[0]?.perSecond === perSecond);
  const phase = found?.phases[0];
  return found === undefined || phase === undefined ? undefined : { window: found, phase };
}

function capacityPart({ result, windows, environment }: Kept<CapacityResult>): string[] {
  const ordered = result.windows.toSorted(
    (a, b) => (a.phases[0]?.perSecond ?? 0) - (b.phases[0]?.perSecond ?? 0),
  );
  const rows = ordered.flatMap((window) =>
    window.phases.map((phase) => phaseRow(whole(phase.perSecond), phase, window)),
  );
  return [
    '### Capacity',
    `The highest rate with a p99 under ${SLO_MS} ms and ${percent(ANSWERED)} in time: **${whole(result.perSecond)} per second**. A rate that failed is tried once more; the table has both, the plot the second. ${provenance(environment)} ${windowsText(windows)}`,
    '![Latency over the offered rate](benchmarks/latency.svg)',
    table([...PHASE_HEAD, 'CPU-µs', 'server cores', 'log rows dropped'], rows),
  ];
}

const PHASE_HEAD = [
  'rate',
  'offered /s',
  'in time',
  'p50',
  'p90',
  'p99',
  'p99.9',
  'max, ms',
  'rejected',
  'failed',
];

function phaseRow(name: string, phase: PhaseResult, window?: LoadWindow): Row {
  const { p50, p90, p99, p999, max } = phase;
  const rejected = total(phase, 'rejected') + total(phase, 'expired') + total(phase, 'unsent');
  const counts = [whole(rejected), whole(total(phase, 'failed'))];
  const share = percent(total(phase, 'good') / total(phase, 'offered'));
  const row = [name + (window === undefined ? '' : star(window)), whole(offered(phase)), share];
  row.push(...[p50, p90, p99, p999, max].map(millis), ...counts);
  if (window !== undefined)
    row.push(window.cpuUsPerRequest.toFixed(0), window.serverCores.toFixed(2), whole(window.logged.dropped));
  return row;
}

function phasesPart(
  title: string,
  { result, windows, environment }: Kept<PhasesResult>,
  text: string,
): string[] {
  const { window } = result;
  return [
    `### ${title}`,
    `${text} Shares are of ${whole(result.capacity)} per second. ${provenance(environment)} ${windowsText(windows)}`,
    table(
      PHASE_HEAD,
      window.phases.map((phase) => phaseRow(phase.name + star(window), phase)),
    ),
  ];
}

function stepText({ window }: PhasesResult): string {
  const seconds = (window.phases[0]?.ms ?? 0) / 1000;
  return `${seconds} s of each rate, up to 90 % of the capacity and back, without a pause.`;
}

function peakText({ window, capacity }: PhasesResult): string {
  const [base, burst] = window.phases;
  const back = window.phases
    .slice(2)
    .filter((_, index) => index % 2 === 0)
    .map(secondsToRecover);
  const share = (phase: PhaseResult | undefined): string => percent((phase?.perSecond ?? NaN) / capacity);
  return `Bursts of ${(burst?.ms ?? 0) / 1000} s at ${share(burst)} of the capacity, with ${share(base)} between them. After the bursts the p99 was under the objective again within ${back.map(recovered).join(', ')}.`;
}

function overloadPart({ result, windows, environment }: Kept<OverloadResult>): string[] {
  const classes = Object.keys(MIXED);
  const rows = result.runs.map(({ factor, window }): Row => {
    const [during, after] = window.phases;
    if (during === undefined || after === undefined) return [];
    const inTime = classes.map((name) => {
      const one = during.classes.find((candidate) => candidate.name === name);
      return one === undefined ? '' : percent(one.good / one.offered);
    });
    const failed = total(during, 'failed') + total(after, 'failed');
    return [
      `${factor}×${star(window)}`,
      whole(offered(during)),
      whole(goodput(during)),
      percent(goodput(during) / result.capacity),
      ...inTime,
      millis(during.p99),
      millis(during.rejectP99),
      recovered(secondsToRecover(after)),
      whole(failed),
    ];
  });
  const ms = result.runs[0]?.window.phases[0]?.ms ?? 0;
  const shares = Object.entries(MIXED).map(([name, share]) => `${percent(share)} ${name}`);
  return [
    '### Overload and recovery',
    `${ms / 1000} s of more than the gateway can take (${shares.join(', ')}), then half the capacity. Shares of requests in time are of all that were offered in the class. ${provenance(environment)} ${windowsText(windows)}`,
    '![Goodput over the offered rate](benchmarks/goodput.svg)',
    '![p99 during and after overload](benchmarks/recovery.svg)',
    table(
      [
        'offered',
        '/s',
        'goodput /s',
        'of capacity',
        ...classes,
        'p99, ms',
        'p99 of 429s, ms',
        'p99 back under the objective',
        'failed',
      ],
      rows,
    ),
  ];
}

function swapPart({ result, windows, environment }: Kept<SwapResult>): string[] {
  const rows = (['quiet', 'swapping'] as const).map((kind): Row => {
    const own = result[kind];
    const phases = own.flatMap(({ window }) => window.phases);
    const sum = (field: 'offered' | 'failed' | 'rejected'): number =>
      phases.reduce((all, phase) => all + total(phase, field), 0);
    const noisy = own.some(({ window }) => window.noisy) ? '*' : '';
    return [
      (kind === 'quiet' ? 'without swaps' : 'with swaps') + noisy,
      whole(own.reduce((all, { swaps }) => all + swaps.length, 0)),
      whole(sum('offered')),
      whole(sum('failed')),
      whole(sum('rejected')),
      millis(median(phases.map(({ p50 }) => p50))),
      millis(median(phases.map(({ p99 }) => p99))),
      millis(typical(own, ({ delay }) => delay.p99Ms)),
      millis(typical(own, ({ delay }) => delay.maxMs)),
    ];
  });
  const took = median(result.swapping.flatMap(({ swaps }) => swaps.map(({ ms }) => ms)));
  return [
    '### Swap under load',
    `The champion is replaced by another version while ${whole(result.perSecond)} requests come each second: fetched, verified, warmed and then flipped. From the new route to the first answer of the new version it took ${whole(took)} ms in the median. Windows with and without swaps in turn; latencies are medians over the windows. ${provenance(environment)} ${windowsText(windows)}`,
    table(
      [
        'window',
        'swaps',
        'requests',
        'failed',
        'rejected',
        'p50, ms',
        'p99, ms',
        'event-loop delay p99, ms',
        'longest, ms',
      ],
      rows,
    ),
  ];
}

function soakPart({ result, environment }: Kept<SoakResult>): string[] {
  const { samples, perSecond, minutes, warmUpMinutes, rssSlopeBytesPerHour, rssSlopeError, latencyDrift } =
    result;
  const sum = (field: 'offered' | 'answered' | 'rejected' | 'failed'): number =>
    samples.reduce((all, sample) => all + sample[field], 0);
  const noisy = samples.filter((sample) => sample.noisy).length;
  const rss = samples
    .filter(({ minute }) => minute > warmUpMinutes)
    .map(({ rssBytes }) => rssBytes / MEGABYTE);
  const mib = (bytes: number): string => (bytes / MEGABYTE).toFixed(1);
  const drift = Number.isFinite(latencyDrift) ? percent(latencyDrift) : 'no quiet windows';
  return [
    '### Soak',
    `${minutes} minutes at ${whole(perSecond)} requests per second, of which the first ${warmUpMinutes.toFixed(0)} are warm-up. ${noisy} of ${samples.length} windows were noisy: memory and counts stand, the drift is of the quiet ones. ${provenance(environment)}`,
    '![Memory over the soak](benchmarks/soak.svg)',
    table(
      [
        'requests',
        'answered',
        'rejected or late in the queue',
        'failed',
        'resident after warm-up, MiB',
        'slope of it, MiB per hour',
        'p50 of the last third against the first',
      ],
      [
        [
          ...[sum('offered'), sum('answered'), sum('rejected'), sum('failed')].map(whole),
          `${Math.min(...rss).toFixed(0)} – ${Math.max(...rss).toFixed(0)}`,
          `${mib(rssSlopeBytesPerHour)} ± ${mib(rssSlopeError)}`,
          drift,
        ],
      ],
    ),
  ];
}

function provenance({ commit, date, quick }: Environment): string {
  return `Measured at ${commit} on ${date}${quick ? ' with `--quick`, which proves nothing' : ''}.`;
}

function windowsText({ taken, discarded, keptNoisy }: Kept<unknown>['windows']): string {
  return `Windows: ${taken}, of which noisy and discarded ${discarded}, noisy and kept ${keptNoisy}.`;
}

function star({ noisy }: LoadWindow): string {
  return noisy ? ' *' : '';
}

function recovered(seconds: number | null): string {
  return seconds === null ? 'not seen' : `${seconds} s`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(share > 0.98 && share < 1 ? 2 : 0)} %`;
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en');
}

function millis(value: number): string {
  return Number.isFinite(value) ? value.toFixed(value < 10 ? 2 : 1) : '–';
}

function table(heads: Row, rows: readonly Row[]): string {
  const line = (cells: Row): string => `| ${cells.join(' | ')} |`;
  return [line(heads), line(heads.map((_, index) => (index === 0 ? '---' : '--:'))), ...rows.map(line)].join(
    '\n',
  );
}

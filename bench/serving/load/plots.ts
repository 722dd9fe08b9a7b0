/** The plots of docs/benchmarks.md, by file name, from what was measured. */
import { lineChart } from './line-chart.ts';
import type { Series } from './line-chart.ts';
import type { CapacityResult, OverloadResult } from './profiles.ts';
import type { Results } from './results.ts';
import { SLOT_MS } from './poisson-load.ts';
import type { PhaseResult } from './poisson-load.ts';
import { SLO_MS, goodput, offered } from './server-under-load.ts';
import type { LoadWindow } from './server-under-load.ts';
import type { SoakResult } from './soak.ts';

const MEGABYTE = 1024 * 1024;

export function plots({ capacity, overload, soak }: Results): Map<string, string> {
  const files = new Map<string, string>();
  if (capacity !== undefined) files.set('latency.svg', latency(capacity.result));
  if (overload !== undefined) {
    files.set('goodput.svg', goodputs(overload.result, capacity?.result));
    files.set('recovery.svg', recovery(overload.result));
  }
  if (soak !== undefined) files.set('soak.svg', memory(soak.result));
  return files;
}

function latency({ perSecond, windows }: CapacityResult): string {
  const phases = decisive(windows);
  const series = (['p50', 'p90', 'p99', 'p999'] as const).map((field): Series => ({
    name: field === 'p999' ? 'p99.9' : field,
    points: phases.map((phase) => [offered(phase), phase[field]]),
    marks: true,
  }));
  return lineChart({
    title: 'Latency from the intended send time, over the offered rate',
    x: { label: 'requests per second offered (Poisson)', from: 0 },
    y: { label: 'milliseconds', log: true },
    series,
    guides: [
      { name: `SLO ${SLO_MS} ms`, y: SLO_MS },
      { name: 'capacity', x: perSecond },
    ],
  });
}

/** Of a rate that was tried twice, the try that decided. */
function decisive(windows: readonly LoadWindow[]): PhaseResult[] {
  const last = new Map(windows.flatMap(({ phases }) => phases).map((phase) => [phase.perSecond, phase]));
  return [...last.values()].toSorted((a, b) => offered(a) - offered(b));
}

function goodputs({ capacity, runs }: OverloadResult, below: CapacityResult | undefined): string {
  const measured = [
    ...decisive(below?.windows ?? []),
    ...runs.flatMap(({ window }) => window.phases.slice(0, 1)),
  ].toSorted((a, b) => offered(a) - offered(b));
  const most = (measured.at(-1)?.perSecond ?? capacity) / capacity;
  return lineChart({
    title: 'Goodput: answered within the deadline, over what was offered',
    x: { label: 'offered, as a multiple of the capacity', from: 0 },
    y: { label: 'goodput, % of the capacity', from: 0 },
    series: [
      {
        name: 'goodput',
        points: measured.map((phase) => [offered(phase) / capacity, (100 * goodput(phase)) / capacity]),
        marks: true,
      },
      {
        name: 'ideal',
        points: [
          [0, 0],
          [1, 100],
          [Math.max(1, most), 100],
        ],
      },
    ],
    guides: [{ name: 'capacity', x: 1 }],
  });
}

function recovery({ runs }: OverloadResult): string {
  const series = runs.map(({ factor, window }): Series => {
    const slots = window.phases.flatMap((phase) => phase.slots);
    return { name: `${factor}× the capacity`, points: slots.map((p99, at) => [(at * SLOT_MS) / 1000, p99]) };
  });
  const ends = (runs[0]?.window.phases[0]?.ms ?? 0) / 1000;
  return lineChart({
    title: `p99 of the answers during and after overload, in slots of ${SLOT_MS} ms`,
    x: { label: 'seconds', from: 0 },
    y: { label: 'milliseconds', log: true },
    series,
    guides: [
      { name: `SLO ${SLO_MS} ms`, y: SLO_MS },
      { name: 'overload ends', x: ends },
    ],
  });
}

function memory({ samples, warmUpMinutes, perSecond }: SoakResult): string {
  const of = (field: 'rssBytes' | 'heapUsed'): [number, number][] =>
    samples.map((sample) => [sample.minute, sample[field] / MEGABYTE]);
  return lineChart({
    title: `Memory of the gateway under ${perSecond.toFixed(0)} requests per second`,
    x: { label: 'minutes', from: 0 },
    y: { label: 'MiB', from: 0 },
    series: [
      { name: 'resident', points: of('rssBytes') },
      { name: 'JavaScript heap in use', points: of('heapUsed') },
    ],
    guides: [{ name: 'warm-up ends', x: warmUpMinutes }],
  });
}

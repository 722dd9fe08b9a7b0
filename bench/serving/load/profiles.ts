/** The load profiles but the soak: what they offer, and what they keep of what came back. */
import { setTimeout as delay } from 'node:timers/promises';
import type { LoopDelay, Swap } from './load-server.ts';
import { SLOT_MS } from './poisson-load.ts';
import type { PhaseResult } from './poisson-load.ts';
import { MIXED, SLO_MS, describePressure, goodput, offered, total } from './server-under-load.ts';
import type { LoadWindow, ServerUnderLoad } from './server-under-load.ts';
import { median } from './soak.ts';

export interface Lengths {
  /** Seconds of one rate while the capacity is looked for, and of one step. */
  readonly rate: number;
  readonly step: number;
  readonly overload: number;
  readonly recovery: number;
  readonly swapWindow: number;
  readonly swapPairs: number;
  /** Of a window that others disturb. */
  readonly tries: number;
}

export const FULL: Lengths = {
  rate: 10,
  step: 10,
  overload: 30,
  recovery: 10,
  swapWindow: 5,
  swapPairs: 6,
  tries: 4,
};
export const QUICK: Lengths = {
  rate: 1.5,
  step: 1,
  overload: 3,
  recovery: 3,
  swapWindow: 2,
  swapPairs: 2,
  tries: 1,
};

export interface CapacityResult {
  readonly perSecond: number;
  /** Each rate that was tried, in order. */
  readonly windows: readonly LoadWindow[];
}

export interface OverloadResult {
  readonly capacity: number;
  readonly runs: readonly { readonly factor: number; readonly window: LoadWindow }[];
}

export interface PhasesResult {
  readonly capacity: number;
  readonly window: LoadWindow;
}

export interface SwapWindow {
  readonly window: LoadWindow;
  readonly delay: LoopDelay;
  readonly swaps: readonly Swap[];
}

export interface SwapResult {
  readonly perSecond: number;
  readonly quiet: readonly SwapWindow[];
  readonly swapping: readonly SwapWindow[];
}

/** Of the requests of a rate that counts as carried. */
export const ANSWERED = 0.99;
const FIRST_RATE = 1000;
const GROWTH = 1.3;
const BISECTIONS = 3;
const STEPS = [0.1, 0.25, 0.5, 0.75, 0.9, 0.75, 0.5, 0.25, 0.1];
const PEAK = { factor: 1.3, seconds: 3, bursts: 3, base: 0.5, between: 4 };
export const OVERLOADS = [1.5, 2];
const AFTERWARDS = 0.5;
const SWAPS_IN_WINDOW = 2;
const SWAP_LOAD = 0.5;

export function carried(phase: PhaseResult): boolean {
  return phase.p99 < SLO_MS && total(phase, 'good') >= ANSWERED * total(phase, 'offered');
}

export async function warmUp(server: ServerUnderLoad): Promise<void> {
  await server.window([
    { name: 'cold', perSecond: 500, ms: 1000 },
    { name: 'warm', perSecond: 2000, ms: 4000 },
  ]);
}

export async function capacity(server: ServerUnderLoad, lengths: Lengths): Promise<CapacityResult> {
  const windows: LoadWindow[] = [];
  const holds = async (perSecond: number): Promise<boolean> => {
    // A rate has failed when it failed twice: one stop of the machine must not end the search.
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const phases = [{ name: 'rate', perSecond, ms: lengths.rate * 1000 }];
      const window = await server.quietWindow(phases, lengths.tries);
      windows.push(window);
      const [phase] = window.phases;
      if (phase === undefined) return false;
      describePhase('rate', phase, window);
      if (carried(phase)) return true;
    }
    return false;
  };
  let low = 0;
  let high = FIRST_RATE;
  while (await holds(high)) {
    low = high;
    high *= GROWTH;
  }
  for (let i = 0; i < BISECTIONS && low > 0; i += 1) {
    const middle = Math.sqrt(low * high);
    if (await holds(middle)) low = middle;
    else high = middle;
  }
  return { perSecond: low, windows };
}

export async function stepLoad(
  server: ServerUnderLoad,
  rate: number,
  lengths: Lengths,
): Promise<PhasesResult> {
  const phases = STEPS.map((share) => ({
    name: `${Math.round(100 * share)} %`,
    perSecond: share * rate,
    ms: lengths.step * 1000,
  }));
  return { capacity: rate, window: await observed(server, phases, lengths) };
}

export async function peak(server: ServerUnderLoad, rate: number, lengths: Lengths): Promise<PhasesResult> {
  const base = { name: 'between', perSecond: PEAK.base * rate, ms: PEAK.between * 1000 };
  const burst = { name: 'burst', perSecond: PEAK.factor * rate, ms: PEAK.seconds * 1000 };
  const phases = [base, ...Array.from({ length: PEAK.bursts }, () => [burst, base]).flat()];
  return { capacity: rate, window: await observed(server, phases, lengths) };
}

export async function overload(
  server: ServerUnderLoad,
  rate: number,
  lengths: Lengths,
): Promise<OverloadResult> {
  const runs: { factor: number; window: LoadWindow }[] = [];
  for (const factor of OVERLOADS) {
    const phases = [
      { name: `${factor}×`, perSecond: factor * rate, ms: lengths.overload * 1000 },
      { name: 'after', perSecond: AFTERWARDS * rate, ms: lengths.recovery * 1000 },
    ];
    const window = await server.quietWindow(phases, lengths.tries, { mix: MIXED });
    for (const phase of window.phases) describePhase(phase.name, phase, window);
    runs.push({ factor, window });
  }
  return { capacity: rate, runs };
}

export async function swapUnderLoad(
  server: ServerUnderLoad,
  rate: number,
  lengths: Lengths,
): Promise<SwapResult> {
  const result = { perSecond: SWAP_LOAD * rate, quiet: [] as SwapWindow[], swapping: [] as SwapWindow[] };
  for (let pair = 0; pair < lengths.swapPairs; pair += 1) {
    for (const kind of ['quiet', 'swapping'] as const) {
      const swaps = kind === 'swapping' ? SWAPS_IN_WINDOW : 0;
      for (let attempt = 1; ; attempt += 1) {
        const window = await swapWindow(server, result.perSecond, lengths.swapWindow * 1000, swaps);
        const [phase] = window.window.phases;
        if (phase !== undefined) describePhase(kind, phase, window.window);
        if (window.window.noisy && attempt < lengths.tries) {
          server.discarded += 1;
          continue;
        }
        if (window.window.noisy) server.keptNoisy += 1;
        result[kind].push(window);
        break;
      }
    }
  }
  return result;
}

async function swapWindow(
  server: ServerUnderLoad,
  perSecond: number,
  ms: number,
  count: number,
): Promise<SwapWindow> {
  await server.ask({ do: 'make-versions', count });
  await server.ask({ do: 'reset-delay' });
  const loading = server.window([{ name: 'load', perSecond, ms }]);
  const swaps: Swap[] = [];
  for (let i = 0; i < count; i += 1) {
    await delay(ms / (count + 2));
    swaps.push(await server.ask<Swap>({ do: 'swap' }));
  }
  const window = await loading;
  return { window, swaps, delay: await server.ask<LoopDelay>({ do: 'delay' }) };
}

async function observed(
  server: ServerUnderLoad,
  phases: Parameters<ServerUnderLoad['window']>[0],
  lengths: Lengths,
): Promise<LoadWindow> {
  const window = await server.quietWindow(phases, lengths.tries);
  for (const phase of window.phases) describePhase(phase.name, phase, window);
  return window;
}

/** Seconds until four slots in a row were under the SLO; null when that never came. */
export function secondsToRecover({ slots }: PhaseResult): number | null {
  const at = slots.findIndex((_, from) => {
    const next = slots.slice(from, from + 4);
    return next.length === 4 && next.every((p99) => p99 <= SLO_MS);
  });
  return at === -1 ? null : (at * SLOT_MS) / 1000;
}

/** Median over windows. */
export function typical(windows: readonly SwapWindow[], of: (window: SwapWindow) => number): number {
  return median(windows.map(of));
}

function describePhase(
  name: string,
  phase: PhaseResult,
  { pressure, noisy, cpuUsPerRequest }: LoadWindow,
): void {
  console.error(
    `  ${name}: ${offered(phase).toFixed(0)}/s offered, ${goodput(phase).toFixed(0)}/s in time, p50 ${phase.p50.toFixed(2)}, ` +
      `p99 ${phase.p99.toFixed(1)} ms, ${cpuUsPerRequest.toFixed(0)} CPU-µs${noisy ? `; NOISY: ${describePressure(pressure)}` : ''}`,
  );
}

/**
 * One look at the load. The rule is that of Kubernetes' HorizontalPodAutoscaler: each metric asks for
 * ⌈total ÷ target⌉ processes, the largest wish counts, a tolerance keeps it still, and the two directions have
 * stabilisation windows of their own.
 *
 * Latency differs from the other two: it does not halve when processes double, so it cannot say how few would do. It
 * may only ask for more, by at most a doubling, and the number that it asked for stays a floor until the load itself
 * has gone down; else one process fewer would be tried, found too slow and undone again for ever.
 */
import type { ScalingPolicy } from './policy.ts';

/** What one process measured since its last report. */
export interface ProcessSample {
  readonly requests: number;
  readonly requestsPerSecond: number;
  /** Null when there was no request. */
  readonly p99Ms: number | null;
  /** 0 to 1. */
  readonly utilisation: number;
}

export interface Observation {
  /** How many processes there should be now, those that start or did not report among them. */
  readonly processes: number;
  /** Of those that reported. */
  readonly samples: readonly ProcessSample[];
}

/** Since when, without a break, the load asked for another number, and the mildest such wish. */
interface Pressure {
  readonly sinceMs: number;
  readonly processes: number;
}

export interface ScalingState {
  readonly up: Pressure | null;
  readonly down: Pressure | null;
  /** What latency asked for, and the load at that time. */
  readonly floor: { readonly processes: number; readonly requestsPerSecond: number } | null;
}

export const NO_HISTORY: ScalingState = { up: null, down: null, floor: null };

type Cause = 'requests' | 'utilisation' | 'latency';

export interface Decision {
  readonly processes: number;
  readonly state: ScalingState;
  /** What asks for the most; for the log. */
  readonly cause: Cause;
}

/** The load must have gone down to this share before a number of processes that latency asked for is given up. */
const FLOOR_RELEASE = 0.8;
/** Latency says that it is too little, hardly by how much. */
const MOST_BY_LATENCY = 2;

export function decide(
  state: ScalingState,
  { processes, samples }: Observation,
  policy: ScalingPolicy,
  nowMs: number,
): Decision {
  const clamp = (wish: number): number => Math.min(policy.max, Math.max(policy.min, wish));
  // Bounds hold whatever the load says.
  if (processes !== clamp(processes)) {
    return { processes: clamp(processes), state: NO_HISTORY, cause: 'requests' };
  }
  const { wish, cause, floor } = weigh(state, { processes, samples }, policy);
  const wanted = clamp(wish);
  if (wanted > processes) {
    // A wish from before somebody else changed the number is none any more.
    const before = state.up !== null && state.up.processes > processes ? state.up : null;
    const up = since(before, Math.min(before?.processes ?? wanted, wanted), nowMs);
    if (nowMs - up.sinceMs < policy.stabilisationMsUp) {
      return { processes, state: { up, down: null, floor }, cause };
    }
    const kept =
      cause === 'latency'
        ? { processes: up.processes, requestsPerSecond: total(samples, requestRate) }
        : floor;
    return { processes: up.processes, state: { up: null, down: null, floor: kept }, cause };
  }
  // A process that starts or does not answer may carry any load.
  if (wanted === processes || samples.length < processes) {
    return { processes, state: { up: null, down: null, floor }, cause };
  }
  const down = since(state.down, wanted, nowMs);
  if (nowMs - down.sinceMs < policy.stabilisationMsDown) {
    return { processes, state: { up: null, down, floor }, cause };
  }
  return { processes: processes - 1, state: { up: null, down: { ...down, sinceMs: nowMs }, floor }, cause };
}

function since(pressure: Pressure | null, processes: number, nowMs: number): Pressure {
  return { sinceMs: pressure?.sinceMs ?? nowMs, processes };
}

interface Wish {
  readonly wish: number;
  readonly cause: Cause;
  readonly floor: ScalingState['floor'];
}

function weigh(state: ScalingState, { processes, samples }: Observation, policy: ScalingPolicy): Wish {
  const rate = total(samples, requestRate);
  const floor =
    state.floor !== null && rate >= state.floor.requestsPerSecond * FLOOR_RELEASE ? state.floor : null;
  const wishes: readonly (readonly [Cause, number])[] = [
    ['requests', forShare(rate / policy.targetRequestsPerSecond, processes, policy.tolerance)],
    [
      'utilisation',
      forShare(total(samples, utilisation) / policy.targetUtilisation, processes, policy.tolerance),
    ],
    ['latency', Math.max(forLatency(samples, processes, policy), floor?.processes ?? 0)],
  ];
  const [cause, wish] = wishes.reduce((most, next) => (next[1] > most[1] ? next : most));
  return { wish, cause, floor };
}

/** `share`: of how many processes the load is, each at its target. */
function forShare(share: number, processes: number, tolerance: number): number {
  if (share > processes * (1 + tolerance)) return Math.ceil(share);
  // One fewer only if it would then have the headroom that keeps it from coming back at once.
  return Math.min(processes, Math.ceil(share / (1 - tolerance)));
}

function forLatency(samples: readonly ProcessSample[], processes: number, policy: ScalingPolicy): number {
  let worst = 0;
  for (const { requests, p99Ms } of samples) {
    if (p99Ms !== null && requests >= policy.leastRequestsForP99) worst = Math.max(worst, p99Ms);
  }
  const ratio = worst / policy.targetP99Ms;
  if (ratio <= 1 - policy.tolerance) return 0;
  if (ratio <= 1 + policy.tolerance) return processes;
  // Over those that reported: what has only just been started has not had its effect yet.
  return Math.max(processes, Math.ceil(samples.length * Math.min(MOST_BY_LATENCY, ratio)));
}

const requestRate = (sample: ProcessSample): number => sample.requestsPerSecond;
const utilisation = (sample: ProcessSample): number => sample.utilisation;

function total(samples: readonly ProcessSample[], of: (sample: ProcessSample) => number): number {
  return samples.reduce((sum, sample) => sum + of(sample), 0);
}

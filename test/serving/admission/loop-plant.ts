/**
 * A gateway's event loop in virtual time, around the real admission: each turn reads all sockets that have something,
 * then runs the batch, then answers. Open-loop Poisson callers with a bounded number of connections, who give up in
 * their own queue at the deadline.
 */
import type { AdmissionMetrics } from '../../../serving/admission/admission-metrics.ts';
import { Admission } from '../../../serving/admission/admission.ts';
import { AdmissionTicket } from '../../../serving/admission/admission-ticket.ts';
import type { PriorityName } from '../../../serving/admission/priority.ts';
import { createRng } from '../../support/rng.ts';

export interface Plant {
  /** Milliseconds of the loop: to read a head, to read and check a body, to answer, to reject, for a run and a row. */
  readonly head: number;
  readonly body: number;
  readonly answer: number;
  readonly reject: number;
  readonly run: number;
  readonly row: number;
}

/** As measured: 42 µs for a request of 16 connections, 16 for a rejection. */
export const SMALL_MODEL: Plant = {
  head: 0.009,
  body: 0.012,
  answer: 0.018,
  reject: 0.007,
  run: 0.02,
  row: 0.002,
};

export const capacityOf = ({ head, body, answer, row }: Plant): number => 1000 / (head + body + answer + row);

export interface Stage {
  readonly ms: number;
  readonly perSecond: number;
  /** Everything takes so many times as long: others have the core. */
  readonly slower?: number;
}

export interface Mix {
  readonly name: PriorityName;
  readonly share: number;
}

export const MIXED: readonly Mix[] = [
  { name: 'critical', share: 0.1 },
  { name: 'default', share: 0.6 },
  { name: 'sheddable', share: 0.2 },
  { name: 'bulk', share: 0.1 },
];

export interface Seen {
  readonly atMs: number;
  readonly name: PriorityName;
  readonly unit: string;
  readonly outcome: 'good' | 'late' | 'rejected' | 'unsent';
  readonly latencyMs: number;
}

interface Call {
  readonly atMs: number;
  readonly name: PriorityName;
  readonly unit: string;
}

const WINDOW_MS = 100;

export interface PlantOptions {
  readonly plant: Plant;
  readonly stages: readonly Stage[];
  readonly mix?: readonly Mix[];
  readonly deadlineMs: number;
  readonly connections: number;
  readonly seed: number;
  readonly users?: number;
  /** Lengthens the loop's turn now and then. */
  readonly stall?: { readonly everyMs: number; readonly ms: number };
  readonly metrics?: AdmissionMetrics;
}

export function simulate(options: PlantOptions): Seen[] {
  const { plant, stages, mix = MIXED, deadlineMs, connections, seed, users = 1000, stall } = options;
  const random = createRng(seed);
  let now = 0;
  let idle = 0;
  let endTurn = (): void => undefined;
  const probe = {
    idleMs: () => idle,
    afterTurn: (callback: () => void) => void (endTurn = callback),
    sample: () => ({ elapsedMs: 0, busyMs: 0, utilization: 0, delayP99Ms: 0 }),
    close: () => undefined,
  };
  const admission = new Admission({
    probe,
    rng: () => random.next(),
    clock: { now: () => now, monotonic: () => now },
    ...(options.metrics !== undefined && { metrics: options.metrics }),
  });
  const model = { waitingRows: 0, predictMs: () => plant.run + plant.row };
  const calls = arrivals(stages, mix, users, random);
  const seen: Seen[] = [];
  const see = (call: Call, outcome: Seen['outcome']): void => {
    const { atMs, name, unit } = call;
    seen.push({ atMs, name, unit, outcome, latencyMs: now - atMs });
  };
  let free = connections;
  let arrived = 0;
  /** With what is left of the deadline when it is sent. */
  const sockets: (Call & { readonly allowedMs: number })[] = [];
  let queued: Call[] = [];
  let windowAt = WINDOW_MS;
  let idleAtWindow = 0;
  let longest = 0;
  let stalledAt = 0;

  /** Callers send what they can; those who waited too long have given up. */
  const send = (): void => {
    while (arrived < calls.length && (calls[arrived] as Call).atMs <= now)
      queued.push(calls[arrived++] as Call);
    let taken = 0;
    for (; taken < queued.length; taken += 1) {
      const call = queued[taken] as Call;
      if (now - call.atMs > deadlineMs) see(call, 'unsent');
      else if (free > 0) {
        free -= 1;
        sockets.push({ ...call, allowedMs: Math.max(1, Math.floor(deadlineMs - (now - call.atMs))) });
      } else break;
    }
    queued = queued.slice(taken);
  };

  while (arrived < calls.length || sockets.length > 0 || queued.length > 0) {
    send();
    if (sockets.length === 0) {
      const next = calls[arrived];
      if (next === undefined) break;
      idle += next.atMs - now;
      now = next.atMs;
      continue;
    }
    const startedAt = now;
    const factor = stages[stageAt(stages, now)]?.slower ?? 1;
    const admitted: [Call, AdmissionTicket][] = [];
    for (const call of sockets.splice(0)) {
      now += plant.head * factor;
      const headers = {
        'x-priority': call.name,
        'x-slipway-unit': call.unit,
        'x-deadline-ms': String(call.allowedMs),
      };
      const ticket = admission.decide(headers, 'toy', deadlineMs, model, now);
      if (ticket instanceof AdmissionTicket) {
        admitted.push([call, ticket]);
        now += plant.body * factor;
      } else {
        now += plant.reject * factor;
        see(call, 'rejected');
        free += 1;
      }
    }
    endTurn();
    if (admitted.length > 0) now += (plant.run + plant.row * admitted.length) * factor;
    for (const [call, ticket] of admitted) {
      now += plant.answer * factor;
      ticket.release(true, now);
      see(call, now - call.atMs <= deadlineMs ? 'good' : 'late');
      free += 1;
    }
    if (stall !== undefined && now - stalledAt > stall.everyMs) {
      now += stall.ms;
      stalledAt = now;
    }
    longest = Math.max(longest, now - startedAt);
    if (now >= windowAt) {
      const elapsedMs = now - windowAt + WINDOW_MS;
      const busyMs = Math.max(0, elapsedMs - (idle - idleAtWindow));
      admission.window({ elapsedMs, busyMs, utilization: busyMs / elapsedMs, delayP99Ms: longest });
      idleAtWindow = idle;
      windowAt = now + WINDOW_MS;
      longest = 0;
    }
  }
  return seen;
}

function stageAt(stages: readonly Stage[], ms: number): number {
  let end = 0;
  return stages.findIndex((stage) => ms < (end += stage.ms));
}

function arrivals(
  stages: readonly Stage[],
  mix: readonly Mix[],
  users: number,
  random: ReturnType<typeof createRng>,
): Call[] {
  const calls: Call[] = [];
  let start = 0;
  for (const { ms, perSecond } of stages) {
    for (let at = start; ;) {
      at += (-Math.log(1 - random.next()) / perSecond) * 1000;
      if (at >= start + ms) break;
      let left = random.next();
      const { name } = mix.find(({ share }) => (left -= share) < 0) ?? (mix.at(-1) as Mix);
      calls.push({ atMs: at, name, unit: `user-${random.integer(users)}` });
    }
    start += ms;
  }
  return calls;
}

export interface Summary {
  readonly goodPerSecond: number;
  readonly p99: number;
  readonly goodShare: Readonly<Record<PriorityName, number>>;
}

/** Of the calls that came in [fromMs, toMs). */
export function summary(seen: readonly Seen[], fromMs: number, toMs: number): Summary {
  const within = seen.filter(({ atMs }) => atMs >= fromMs && atMs < toMs);
  const good = within.filter(({ outcome }) => outcome === 'good');
  const share = (name: PriorityName): number =>
    good.filter((one) => one.name === name).length / within.filter((one) => one.name === name).length;
  const latencies = within
    .filter(({ outcome }) => outcome === 'good' || outcome === 'late')
    .map(({ latencyMs }) => latencyMs)
    .toSorted((a, b) => a - b);
  return {
    goodPerSecond: good.length / ((toMs - fromMs) / 1000),
    p99: latencies[Math.floor(latencies.length * 0.99)] ?? 0,
    goodShare: {
      critical: share('critical'),
      default: share('default'),
      sheddable: share('sheddable'),
      bulk: share('bulk'),
    },
  };
}

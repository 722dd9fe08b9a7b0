/**
 * Open-loop load: requests come at random, independent times of a given mean rate, whether or not the server keeps up,
 * and latency counts from the time a request was meant to be sent. Over keep-alive connections; a request that finds
 * none free waits here, and is given up when its deadline passes (a caller's own timeout).
 *
 * Plain sockets and prepared bytes, so that the generator needs less of a core than what it measures.
 */
import { fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { build, encodeIntoCompressedBase64 } from 'hdr-histogram-js';
import type { Histogram } from 'hdr-histogram-js';

export interface LoadClass {
  readonly name: string;
  /** Of all requests; together 1. */
  readonly share: number;
  /** An answer is good until then. */
  readonly deadlineMs: number;
  readonly headers: Readonly<Record<string, string>>;
}

export interface LoadPhase {
  readonly name: string;
  readonly perSecond: number;
  readonly ms: number;
}

export interface LoadPlan {
  readonly port: number;
  readonly path: string;
  readonly contentType: string;
  readonly body: string;
  readonly connections: number;
  /** Requests carry one of so many users in `x-slipway-unit`; 0 is none. */
  readonly users: number;
  readonly classes: readonly LoadClass[];
  readonly phases: readonly LoadPhase[];
  readonly seed: number;
}

export interface ClassResult {
  readonly name: string;
  offered: number;
  /** 200 within the deadline. */
  good: number;
  late: number;
  rejected: number;
  expired: number;
  failed: number;
  /** Given up while waiting for a free connection. */
  unsent: number;
}

export interface PhaseResult {
  readonly name: string;
  readonly perSecond: number;
  readonly ms: number;
  readonly classes: readonly ClassResult[];
  /** Of the 200s, milliseconds. */
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  /** The same, HdrHistogram in microseconds, compressed. */
  readonly histogram: string;
  /** Of the 429s. */
  readonly rejectP99: number;
  /** How late the generator itself was. */
  readonly lagP99: number;
  /** p99 of the 200s by intended time, in slots of `SLOT_MS`; NaN for none. */
  readonly slots: readonly number[];
}

export const SLOT_MS = 250;

interface Call {
  readonly phase: Recorder;
  readonly kind: number;
  readonly intended: number;
  readonly user: number;
}

interface Connection {
  readonly socket: Socket;
  call: Call | null;
  rest: string;
}

class Recorder {
  readonly phase: LoadPhase;
  readonly classes: ClassResult[];
  readonly ok: Histogram = histogram();
  readonly rejects: Histogram = histogram();
  readonly lag: Histogram = histogram();
  readonly slots = new Map<number, Histogram>();
  startedAt = 0;

  constructor(phase: LoadPhase, classes: readonly LoadClass[]) {
    this.phase = phase;
    this.classes = classes.map(({ name }) => ({
      name,
      offered: 0,
      good: 0,
      late: 0,
      rejected: 0,
      expired: 0,
      failed: 0,
      unsent: 0,
    }));
  }

  result(): PhaseResult {
    const { name, perSecond, ms } = this.phase;
    const slots = Array.from({ length: Math.ceil(ms / SLOT_MS) }, (_, slot) =>
      percentile(this.slots.get(slot), 99),
    );
    return {
      name,
      perSecond,
      ms,
      slots,
      classes: this.classes,
      p50: percentile(this.ok, 50),
      p90: percentile(this.ok, 90),
      p99: percentile(this.ok, 99),
      p999: percentile(this.ok, 99.9),
      max: percentile(this.ok, 100),
      histogram: encodeIntoCompressedBase64(this.ok),
      rejectP99: percentile(this.rejects, 99),
      lagP99: percentile(this.lag, 99),
    };
  }
}

function histogram(): Histogram {
  return build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: 60_000_000,
    numberOfSignificantValueDigits: 3,
  });
}

function percentile(of: Histogram | undefined, p: number): number {
  return of === undefined || of.totalCount === 0 ? NaN : of.getValueAtPercentile(p) / 1000;
}

/** xorshift32: the same arrivals for the same seed. */
function uniform(seed: number): () => number {
  let x = seed | 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) / 0x1_0000_0000;
  };
}

/**
 * The bytes of a request with what is left of its deadline in `x-deadline-ms`, as a caller with a time budget sends it.
 * Made once for each class, user and number of milliseconds.
 */
class Requests {
  readonly #plan: LoadPlan;
  readonly #made = new Map<number, Buffer>();

  constructor(plan: LoadPlan) {
    this.#plan = plan;
  }

  bytes(kind: number, user: number, leftMs: number): Buffer {
    const key = (kind * 1_000_000 + leftMs) * Math.max(1, this.#plan.users) + user;
    let bytes = this.#made.get(key);
    if (bytes === undefined) this.#made.set(key, (bytes = this.#make(kind, user, leftMs)));
    return bytes;
  }

  #make(kind: number, user: number, leftMs: number): Buffer {
    const { path, contentType, body, users, classes } = this.#plan;
    const lines = Object.entries({
      host: '127.0.0.1',
      'content-type': contentType,
      'content-length': String(Buffer.byteLength(body)),
      'x-deadline-ms': String(leftMs),
      ...(users > 0 && { 'x-slipway-unit': `user-${user}` }),
      ...classes[kind]?.headers,
    }).map(([name, value]) => `${name}: ${value}\r\n`);
    return Buffer.from(`POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`);
  }
}

export async function generate(plan: LoadPlan): Promise<PhaseResult[]> {
  const requests = new Requests(plan);
  const write = (connection: Connection, call: Call): void => {
    connection.call = call;
    connection.rest = '';
    const left = (classes[call.kind]?.deadlineMs ?? 0) - (performance.now() - call.intended);
    connection.socket.write(requests.bytes(call.kind, call.user, Math.max(1, Math.floor(left))));
  };
  const random = uniform(plan.seed);
  const idle: Connection[] = [];
  const waiting: Call[] = [];
  let waitingFrom = 0;
  const { classes } = plan;
  let open = 0;
  let ended = false;

  const finish = (connection: Connection, status: number): void => {
    const { call } = connection;
    connection.call = null;
    if (call !== null) record(call, status, classes);
    const now = performance.now();
    while (waitingFrom < waiting.length) {
      const next = waiting[waitingFrom++] as Call;
      if (now - next.intended < (classes[next.kind]?.deadlineMs ?? 0)) return write(connection, next);
      (next.phase.classes[next.kind] as ClassResult).unsent += 1;
    }
    waiting.length = waitingFrom = 0;
    idle.push(connection);
  };
  const join = async (): Promise<void> => {
    const socket = connect(plan.port, '127.0.0.1');
    await once(socket, 'connect');
    socket.setNoDelay(true);
    const connection: Connection = { socket, call: null, rest: '' };
    socket.on('data', (chunk: Buffer) => {
      const status = completed(connection, chunk.toString('latin1'));
      if (status !== 0) finish(connection, status);
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      open -= 1;
      if (connection.call !== null) record(connection.call, 0, classes);
      connection.call = null;
      const place = idle.indexOf(connection);
      if (place !== -1) idle.splice(place, 1);
      if (!ended) void join();
    });
    open += 1;
    idle.push(connection);
  };
  for (let i = 0; i < plan.connections; i += 1) await join();

  const recorders = plan.phases.map((phase) => new Recorder(phase, classes));
  for (const recorder of recorders) {
    const { perSecond, ms } = recorder.phase;
    recorder.startedAt = performance.now();
    let next = recorder.startedAt;
    const end = next + ms;
    while (next < end) {
      const now = performance.now();
      while (next <= now && next < end) {
        const kind = pick(classes, random());
        const user = Math.floor(random() * plan.users);
        const call: Call = { phase: recorder, kind, intended: next, user };
        (recorder.classes[kind] as ClassResult).offered += 1;
        recorder.lag.recordValue(Math.round((now - next) * 1000));
        const connection = idle.pop();
        if (connection === undefined) waiting.push(call);
        else write(connection, call);
        next += (-Math.log(1 - random()) / perSecond) * 1000;
      }
      await new Promise((resolve) => (next - now > 1.5 ? setTimeout(resolve, 1) : setImmediate(resolve)));
    }
  }
  // Answers under way still count for their phase.
  const patience = performance.now() + 3000;
  while (idle.length < open && performance.now() < patience) await new Promise((r) => setTimeout(r, 10));
  ended = true;
  for (const { socket } of idle) socket.destroy();
  return recorders.map((recorder) => recorder.result());
}

function pick(classes: readonly LoadClass[], at: number): number {
  let left = at;
  for (let kind = 0; kind < classes.length - 1; kind += 1) {
    left -= classes[kind]?.share ?? 0;
    if (left < 0) return kind;
  }
  return classes.length - 1;
}

/** @returns the status once the whole response is there, else 0. */
function completed(connection: Connection, text: string): number {
  const all = connection.rest === '' ? text : connection.rest + text;
  const head = all.indexOf('\r\n\r\n');
  if (head !== -1) {
    const length = /content-length: (\d+)/i.exec(all)?.[1];
    if (length !== undefined && all.length >= head + 4 + Number(length)) return Number(all.slice(9, 12));
  }
  connection.rest = all;
  return 0;
}

function record({ phase, kind, intended }: Call, status: number, classes: readonly LoadClass[]): void {
  const result = phase.classes[kind] as ClassResult;
  const ms = performance.now() - intended;
  const micros = Math.max(1, Math.round(ms * 1000));
  if (status === 200) {
    phase.ok.recordValue(micros);
    const slot = Math.floor((intended - phase.startedAt) / SLOT_MS);
    let slots = phase.slots.get(slot);
    if (slots === undefined) phase.slots.set(slot, (slots = histogram()));
    slots.recordValue(micros);
    if (ms <= (classes[kind]?.deadlineMs ?? 0)) result.good += 1;
    else result.late += 1;
  } else if (status === 429) {
    result.rejected += 1;
    phase.rejects.recordValue(micros);
  } else if (status === 504) result.expired += 1;
  else result.failed += 1;
}

/** `taskset` for one core; nothing where there is none. */
export function pinnedTo(core: number): readonly string[] {
  const found = spawnSync('taskset', ['-c', String(core), 'true']).status === 0;
  return found ? ['taskset', '-c', String(core)] : [];
}

/** In a process of its own on the given core. */
export async function runLoad(plan: LoadPlan, core: number): Promise<PhaseResult[]> {
  const child = fork(fileURLToPath(import.meta.url), ['--generate'], { serialization: 'advanced' });
  if (pinnedTo(core).length > 0) spawnSync('taskset', ['-acp', String(core), String(child.pid)]);
  const died = new AbortController();
  child.once('exit', () => died.abort());
  child.send(plan);
  const [result] = (await once(child, 'message', { signal: died.signal })) as [PhaseResult[]];
  child.disconnect();
  return result;
}

if (process.argv[1] === fileURLToPath(import.meta.url) && process.argv[2] === '--generate') {
  process.once('message', (plan) => void generate(plan as LoadPlan).then((result) => process.send?.(result)));
  process.once('disconnect', () => process.exit(0));
}

/** Decides from a request's headers whether it is worth beginning. See this folder's `index.ts`. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Clock } from '../../platform/clock.ts';
import { NO_ADMISSION_METRICS } from './admission-metrics.ts';
import type { AdmissionMetrics, ShedReason } from './admission-metrics.ts';
import { AdmissionTicket } from './admission-ticket.ts';
import type { TicketBook } from './admission-ticket.ts';
import { DEFAULT_GRADIENT, GradientLimit } from './gradient-limit.ts';
import { LoopCost } from './loop-cost.ts';
import type { LoopProbe, LoopSample } from './loop-probe.ts';
import { LoopTurns } from './loop-turns.ts';
import { CRITICAL, parsePriority, priorityName, SHED_FROM } from './priority.ts';
import type { Priority } from './priority.ts';
import { rejection } from './rejection.ts';
import type { Rejection } from './rejection.ts';
import { isRetry, parseDeadlineMs } from './request-headers.ts';
import { RetryBudget } from './retry-budget.ts';
import { BANDS, ShedLevel } from './shed-level.ts';

/** Of the model that is expected to answer. */
export interface ExpectedModel {
  readonly waitingRows: number;
  predictMs(rows: number): number;
}

export interface AdmissionSettings {
  /** Requests under way, and rows in a queue, of one endpoint. */
  readonly capRows: number;
  /** Of the deadline: more than this would be too late too often, since a wait varies. */
  readonly waitShare: number;
  readonly retryShare: number;
  readonly windowMs: number;
  /** The adaptive limit does not fall below. */
  readonly minLimit: number;
}

export const DEFAULT_ADMISSION: AdmissionSettings = {
  capRows: 256,
  waitShare: 0.5,
  retryShare: 0.1,
  windowMs: 100,
  minLimit: DEFAULT_GRADIENT.min,
};

/** Critical requests have the rest of the cap to themselves, whatever the limit has grown to. */
const OTHERS_SHARE_OF_CAP = 0.75;
/** A critical request is worth a try even when it may come too late. */
const CRITICAL_PATIENCE = 1.6;
/** From here to 1 the event loop's utilization sheds first bulk, then sheddable requests. */
const BUSY_FROM = 0.9;
const DELAY_FROM_MS = 20;
const DELAY_FULL_MS = 100;
/** Spread of `Retry-After`, so that those who were turned away together do not come back together. */
const JITTER_S = 2;
/** A latency below this is mostly the clock's and the scheduler's noise. */
const MIN_EXPECTED_MS = 0.2;

export interface AdmissionOptions {
  readonly clock: Clock;
  readonly probe: LoopProbe;
  /** Uniform in [0, 1). */
  readonly rng: () => number;
  readonly metrics?: AdmissionMetrics;
  readonly settings?: Partial<AdmissionSettings>;
}

/** One endpoint's share: a backend that is slow must not shed the requests of another endpoint. */
class Gate {
  readonly endpoint: string;
  readonly limit: GradientLimit;
  readonly level = new ShedLevel();
  inFlight = 0;
  /** Idle, and expected to be too slow: from then on one is let in, or nothing would ever correct the expectation. */
  tryAtMs: number | null = null;

  constructor(endpoint: string, min: number) {
    this.endpoint = endpoint;
    this.limit = new GradientLimit({ ...DEFAULT_GRADIENT, min });
  }
}

export class Admission implements TicketBook {
  readonly #clock: Clock;
  readonly #probe: LoopProbe;
  readonly #rng: () => number;
  readonly #metrics: AdmissionMetrics;
  readonly #settings: AdmissionSettings;
  readonly #gates = new Map<string, Gate>();
  readonly #turns: LoopTurns;
  readonly #cost = new LoopCost();
  readonly #retries: RetryBudget;
  #timer: NodeJS.Timeout | null = null;
  #inFlight = 0;
  /** 0 … 1: share of the two lower classes that the event loop has no time for. */
  #pressure = 0;
  #rejected = 0;
  #answered = 0;
  #rejectedAtWindow = 0;
  #answeredAtWindow = 0;
  #rejectShare = 0;

  constructor(options: AdmissionOptions) {
    this.#clock = options.clock;
    this.#probe = options.probe;
    this.#rng = options.rng;
    this.#metrics = options.metrics ?? NO_ADMISSION_METRICS;
    this.#settings = { ...DEFAULT_ADMISSION, ...options.settings };
    this.#turns = new LoopTurns(options.probe);
    this.#retries = new RetryBudget(this.#settings.retryShare);
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Whether anybody is shed, or about to be: what is done for nobody in particular should rest. */
  get underPressure(): boolean {
    if (this.#pressure > 0) return true;
    for (const gate of this.#gates.values()) if (gate.level.level > 0) return true;
    return false;
  }

  /** Share of the last window that went into rejections. */
  get rejectShare(): number {
    return this.#rejectShare;
  }

  limitOf(endpoint: string): number {
    return this.#gate(endpoint).limit.limit;
  }

  start(): void {
    this.#timer ??= setInterval(() => this.window(this.#probe.sample()), this.#settings.windowMs).unref();
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#probe.close();
  }

  /**
   * @param model null when none is loaded; what to answer then is not decided here
   * @param startedMs monotonic, when the headers were there
   * @throws SlipwayError `INVALID_REQUEST` for a header that makes no sense
   */
  decide(
    headers: IncomingHttpHeaders,
    endpoint: string,
    defaultDeadlineMs: number,
    model: ExpectedModel | null,
    startedMs: number,
  ): AdmissionTicket | Rejection {
    const priority = parsePriority(headers['x-priority'] as string | undefined);
    const deadlineMs = parseDeadlineMs(headers['x-deadline-ms'] as string | undefined, defaultDeadlineMs);
    const retry = isRetry(headers['x-retry-attempt'] as string | undefined);
    const gate = this.#gate(endpoint);
    const unit = headers['x-slipway-unit'] as string | undefined;
    const rank = gate.level.rank(priority, unit, this.#clock.now());
    const ageMs = this.#turns.ageMs(startedMs);
    const modelMs = model === null ? 0 : model.predictMs(1);
    const loopMs = Math.max(this.#cost.admittedMs * (this.#inFlight + 1), this.#turns.restMs(startedMs));
    const predictedMs = loopMs + modelMs;
    let reason: ShedReason | null = gate.level.sheds(rank)
      ? 'level'
      : this.#shed(gate, priority, rank, model?.waitingRows ?? 0);
    if (reason === null && retry && !this.#retries.allows) reason = 'retry';
    if (reason === null) {
      if (Math.max(gate.inFlight, model?.waitingRows ?? 0) >= this.#settings.capRows) reason = 'cap';
      else if (ageMs + predictedMs > deadlineMs * this.#waitShare(priority)) {
        if (gate.inFlight > 0) reason = 'wait';
        else if ((gate.tryAtMs ??= startedMs + this.#settings.windowMs) > startedMs) reason = 'wait';
      }
      if (reason !== null) gate.level.turnedAway();
    }
    if (reason !== null) return this.#reject(gate, reason, priority, predictedMs);
    gate.tryAtMs = null;
    gate.level.admitted();
    this.#retries.admitted(retry);
    gate.inFlight += 1;
    this.#inFlight += 1;
    return new AdmissionTicket(this, gate, {
      startedMs,
      deadlineMs,
      priority,
      group: rank % BANDS,
      predictedMs,
      modelMs,
      inFlight: this.#inFlight,
      rejectedBefore: this.#rejected,
    });
  }

  #waitShare(priority: Priority): number {
    const { waitShare } = this.#settings;
    return priority === CRITICAL
      ? Math.min(1, waitShare * CRITICAL_PATIENCE)
      : waitShare * (SHED_FROM[priority] as number);
  }

  /** By pressure, or by the limit; critical requests only meet the cap and their deadline. */
  #shed(gate: Gate, priority: Priority, rank: number, rows: number): ShedReason | null {
    if (priority === CRITICAL) return null;
    if (rank < this.#pressure * 2 * BANDS) return 'pressure';
    const most = this.#settings.capRows * OTHERS_SHARE_OF_CAP;
    const occupied = Math.max(gate.inFlight / Math.min(gate.limit.limit, most), rows / most);
    const from = SHED_FROM[priority] as number;
    const to = SHED_FROM[priority + 1] as number;
    const into = (occupied - from) / (to - from);
    if (into <= 0) return null;
    // Cubic: few at first, all of the class where the next one begins.
    if (into < 1 && rank % BANDS >= BANDS * into ** 3) return null;
    gate.level.turnedAway();
    return 'limit';
  }

  #reject(gate: Gate, reason: ShedReason, priority: Priority, drainMs: number): Rejection {
    this.#rejected += 1;
    this.#metrics.shed(gate.endpoint, reason, priorityName(priority));
    return rejection(reason, drainMs / 1000 + this.#rng() * JITTER_S);
  }

  released(ticket: AdmissionTicket, answered: boolean, nowMs: number): void {
    const gate = ticket.gate as Gate;
    if (answered) {
      this.#answered += 1;
      const actualMs = nowMs - ticket.startedMs;
      this.#metrics.waited(gate.endpoint, ticket.predictedMs, actualMs);
      // Those who came in the same turn of the loop, before or after it, are served in its time; so are rejections.
      const around = Math.max(ticket.inFlight, this.#inFlight);
      const rejecting = (this.#rejected - ticket.rejectedBefore) * this.#cost.rejectedMs;
      const expectedMs = around * this.#cost.admittedMs + rejecting + ticket.modelMs;
      gate.limit.sample(actualMs / Math.max(MIN_EXPECTED_MS, expectedMs), gate.inFlight);
    }
    gate.inFlight -= 1;
    this.#inFlight -= 1;
  }

  lowered(ticket: AdmissionTicket, priority: Priority): boolean {
    const gate = ticket.gate as Gate;
    const rank = priority * BANDS + ticket.group;
    const reason: ShedReason | null = rank < gate.level.level ? 'level' : this.#shed(gate, priority, rank, 0);
    ticket.priority = priority;
    if (reason === null) return true;
    this.#metrics.shed(gate.endpoint, reason, priorityName(priority));
    return false;
  }

  /** Each 100 ms; called by the timer, and by tests with a time of their own. */
  window(sample: LoopSample): void {
    const rejected = this.#rejected - this.#rejectedAtWindow;
    const answered = this.#answered - this.#answeredAtWindow;
    this.#rejectedAtWindow = this.#rejected;
    this.#answeredAtWindow = this.#answered;
    this.#cost.window(sample.busyMs, answered, rejected);
    this.#rejectShare = Math.min(1, (rejected * this.#cost.rejectedMs) / Math.max(1, sample.elapsedMs));
    const busy = (sample.utilization - BUSY_FROM) / (1 - BUSY_FROM);
    const late = (sample.delayP99Ms - DELAY_FROM_MS) / (DELAY_FULL_MS - DELAY_FROM_MS);
    // Averaged over a few windows: one collection of garbage is not an overload.
    const pressure = Math.max(0, Math.min(1, Math.max(busy, late))) ** 3;
    this.#pressure = this.#pressure * 0.6 + pressure * 0.4;
    if (this.#pressure < 0.01) this.#pressure = 0;
    this.#retries.update();
    let limit = Infinity;
    let shedLevel = 0;
    for (const gate of this.#gates.values()) {
      gate.limit.update();
      gate.level.update();
      limit = Math.min(limit, gate.limit.limit);
      shedLevel = Math.max(shedLevel, gate.level.level);
    }
    this.#metrics.state({
      limit: limit === Infinity ? 0 : limit,
      inFlight: this.#inFlight,
      eventLoopUtilization: sample.utilization,
      eventLoopDelayP99Ms: sample.delayP99Ms,
      rejectShare: this.#rejectShare,
      shedLevel,
      loopCostMs: this.#cost.admittedMs,
    });
  }

  #gate(endpoint: string): Gate {
    let gate = this.#gates.get(endpoint);
    if (gate === undefined) this.#gates.set(endpoint, (gate = new Gate(endpoint, this.#settings.minLimit)));
    return gate;
  }
}

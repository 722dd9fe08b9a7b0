/** The queue of one model version, and what takes it to the model. See this folder's `index.ts` for its promises. */
import { SlipwayError } from '../../domain/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Placement } from '../metrics.ts';
import type { ModelOutput, ModelSession, RunOutput } from '../models/model-session.ts';
import { inferenceFailed, isInputFailure } from '../models/run-failure.ts';
import type { ModelStatistics } from '../statistics.ts';
import { joinRows, mergePart, shareOf } from './batch.ts';
import type { Batch } from './batch.ts';
import type { BatchObserver, DispatchReason } from './batch-observer.ts';
import type { BatchedModel } from './batched-model.ts';
import type { CostModel } from './cost-model.ts';
import { deadlineWheel } from './deadline-wheel.ts';
import type { DeadlineWheel } from './deadline-wheel.ts';
import { Lane } from './lane.ts';
import { RunTicket } from './run-ticket.ts';
import type { TicketOwner } from './run-ticket.ts';
import { TicketQueue } from './ticket-queue.ts';

/** How long one run may keep others from running: on the event loop it also holds up every connection. */
const INLINE_SLICE_MS = 5;
const SLICE_MS = 20;

export interface BatcherOptions {
  readonly session: ModelSession;
  readonly maxBatchRows: number;
  readonly noiseFloor: number;
  /** These two outlive a session: the version keeps them when its thread is lost and it is loaded again. */
  readonly statistics: ModelStatistics;
  readonly cost: CostModel;
  readonly clock: Clock;
  readonly observer: BatchObserver;
}

export class Batcher implements BatchedModel, TicketOwner {
  readonly statistics: ModelStatistics;
  readonly cost: CostModel;
  readonly noiseFloor: number;
  readonly #clock: Clock;
  readonly #observer: BatchObserver;
  readonly #wheel: DeadlineWheel;
  readonly #queue = new TicketQueue();
  #maxBatchRows: number;
  #lane: Lane;
  readonly #leaving = new Set<Promise<void>>();
  /** A turn of the event loop is waited for, so that its other requests come along. */
  #collecting = false;
  #retired: Promise<void> | null = null;
  #closed = false;
  #drained: (() => void) | null = null;

  constructor(options: BatcherOptions) {
    this.statistics = options.statistics;
    this.cost = options.cost;
    this.noiseFloor = options.noiseFloor;
    this.#clock = options.clock;
    this.#observer = options.observer;
    this.#wheel = deadlineWheel(options.clock);
    this.#maxBatchRows = options.maxBatchRows;
    this.#lane = new Lane(options.session);
  }

  get placement(): Placement {
    return this.#lane.session.placement;
  }

  get session(): ModelSession {
    return this.#lane.session;
  }

  get waitingRows(): number {
    return this.#queue.rows;
  }

  get waitingRequests(): number {
    return this.#queue.requests;
  }

  set maxBatchRows(rows: number) {
    this.#maxBatchRows = rows;
  }

  /** Rows that a batch may have now. A model whose run alone is longer than the slice gets as much again for rows. */
  get capRows(): number {
    const { cost } = this;
    const sliceMs = this.placement === 'inline' ? INLINE_SLICE_MS : SLICE_MS;
    return Math.min(this.#maxBatchRows, cost.rowsWithin(Math.max(sliceMs, 2 * cost.b)));
  }

  predictMs(rows: number): number {
    const { cost } = this;
    const lane = this.#lane;
    const waiting = this.#queue.rows + rows;
    const batches = Math.ceil(waiting / this.capRows);
    const sideBySide = Math.max(1, Math.min(batches, lane.session.concurrency));
    const busyMs = lane.free ? 0 : Math.max(0, lane.busyUntilMs - this.#clock.monotonic());
    return busyMs + (waiting * cost.a + batches * cost.b) / sideBySide + lane.hopMs;
  }

  run(features: Float32Array, rows: number, ticket: RunTicket = new RunTicket()): Promise<ModelOutput> {
    return new Promise((resolve, reject) => {
      ticket.resolve = resolve;
      ticket.reject = reject;
      this.#enqueue(ticket, features, rows);
    });
  }

  /** From now on batches go to `session`; the former one ends what it has and is freed. */
  replace(session: ModelSession): void {
    const former = this.#lane;
    this.#lane = new Lane(session);
    const left = former.retire();
    this.#leaving.add(left);
    void left.then(() => this.#leaving.delete(left));
    if (former.session.placement !== session.placement) this.#observer.moved?.(session.placement);
    this.#pump(false);
  }

  retire(): Promise<void> {
    this.#retired ??= this.#retireWhenDrained();
    return this.#retired;
  }

  cancelled(ticket: RunTicket): void {
    this.#drop(ticket, CALLER_GONE, 'cancelled');
  }

  expired(ticket: RunTicket): void {
    this.#drop(ticket, DEADLINE_EXCEEDED, 'expired');
  }

  #enqueue(ticket: RunTicket, features: Float32Array, rows: number): void {
    const now = this.#clock.monotonic();
    ticket.features = features;
    ticket.rows = rows;
    ticket.enqueuedMs = now;
    ticket.queueMs = 0;
    ticket.runMs = 0;
    ticket.takenRows = 0;
    ticket.doneRows = 0;
    ticket.merged = null;
    ticket.batchRows = 0;
    ticket.owner = this;
    ticket.phase = 'waiting';
    this.#queue.push(ticket);
    if (this.#closed) return this.#fail(ticket, RETIRED);
    if (ticket.deadlineMs <= now) return this.expired(ticket);
    this.#wheel.add(ticket);
    this.#pump(true);
  }

  /** Starts what can start. `collect`: requests of this turn of the event loop may still come. */
  #pump(collect: boolean): void {
    const lane = this.#lane;
    if (this.#collecting || this.#queue.head === null) return;
    if (!lane.free) return lane.session.demand?.();
    if (lane.session.runLate !== undefined) return void this.#runLate(lane, collect);
    if (!collect) return this.#dispatch(false);
    this.#collecting = true;
    setImmediate(() => {
      this.#collecting = false;
      this.#dispatch(true);
    });
  }

  #dispatch(idle: boolean): void {
    let lane = this.#lane;
    for (let first = idle; lane.free && lane.session.runLate === undefined; first = false) {
      const batch = this.#take(lane, first);
      if (batch === null) return this.#checkDrained();
      void this.#runNow(lane, batch);
      lane = this.#lane;
    }
    // What is left waits for a place, or for a session that has come meanwhile.
    this.#pump(true);
  }

  async #runNow(lane: Lane, batch: Batch): Promise<void> {
    lane.enter();
    try {
      const { features, rows, span } = batch;
      this.#finish(lane, batch, await lane.session.run(features, rows, span?.traceparent));
    } catch (error) {
      await this.#failed(lane, batch, error);
    }
    this.#left(lane);
  }

  async #runLate(lane: Lane, idle: boolean): Promise<void> {
    lane.enter();
    let batch: Batch | null = null;
    try {
      const output = await lane.session.runLate?.(() => (batch = this.#take(lane, idle)));
      if (batch !== null && output) this.#finish(lane, batch, output);
    } catch (error) {
      // Nothing is in a batch that failed before it was taken; what waits is taken by the next one.
      if (batch !== null) await this.#failed(lane, batch, error);
    }
    this.#left(lane);
  }

  #left(lane: Lane): void {
    lane.leave();
    this.#pump(false);
    this.#checkDrained();
  }

  #take(lane: Lane, idle: boolean): Batch | null {
    const now = this.#clock.monotonic();
    const max = this.#maxBatchRows;
    const cap = this.capRows;
    const tickets: RunTicket[] = [];
    let rows = 0;
    let reason: DispatchReason | null = null;
    let ticket = this.#queue.head;
    while (ticket !== null) {
      const next: RunTicket | null = ticket.queueNext;
      if (ticket.deadlineMs <= now) {
        this.expired(ticket);
      } else if (rows === 0 && (ticket.rows > max || ticket.takenRows > 0)) {
        return this.#takePart(lane, ticket, now);
      } else if (rows > 0 && rows + ticket.rows > cap) {
        reason = rows + ticket.rows > max ? 'full' : 'slice';
        break;
      } else {
        this.#queue.remove(ticket);
        this.#started(ticket, now);
        tickets.push(ticket);
        rows += ticket.rows;
      }
      ticket = next;
    }
    if (rows === 0) return null;
    reason ??= idle && tickets.length === 1 ? 'idle' : 'drained';
    const features = joinRows(tickets, rows);
    const inputMs = tickets.length === 1 ? 0 : this.#clock.monotonic() - now;
    return this.#begin(lane, { tickets, features, rows, partFrom: -1, reason, startedMs: now, inputMs });
  }

  /** The next rows of a request that is too large for one run; it keeps its place until its last rows are taken. */
  #takePart(lane: Lane, ticket: RunTicket, now: number): Batch {
    const from = ticket.takenRows;
    const rows = Math.min(this.#maxBatchRows, ticket.rows - from);
    const columns = ticket.features.length / ticket.rows;
    const features = ticket.features.slice(from * columns, (from + rows) * columns);
    this.#queue.takePart(ticket, rows);
    if (from === 0) ticket.queueMs = now - ticket.enqueuedMs;
    if (ticket.takenRows === ticket.rows) {
      this.#queue.remove(ticket);
      this.#started(ticket, ticket.enqueuedMs + ticket.queueMs);
    }
    const inputMs = this.#clock.monotonic() - now;
    const part = { tickets: [ticket], features, rows, partFrom: from, inputMs };
    return this.#begin(lane, { ...part, reason: 'full', startedMs: now });
  }

  #started(ticket: RunTicket, now: number): void {
    ticket.phase = 'running';
    ticket.queueMs = now - ticket.enqueuedMs;
    this.statistics.recordQueue(ticket.queueMs * 1e6);
  }

  #begin(lane: Lane, batch: Omit<Batch, 'span'>): Batch {
    for (const ticket of batch.tickets) ticket.batchRows = batch.rows;
    lane.busyUntilMs = batch.startedMs + this.cost.runMs(batch.rows) + lane.hopMs;
    return { ...batch, span: this.#observer.traced?.(batch.tickets, batch.rows) ?? null };
  }

  #finish(lane: Lane, batch: Batch, output: RunOutput): void {
    const { tickets, rows, partFrom } = batch;
    // Which rows are whose is unknown then; alone, a request gets what the model gave, for its caller to judge.
    const fits = output.scores.length === rows && output.labels.length === rows;
    if (!fits && (tickets.length > 1 || partFrom >= 0))
      throw inferenceFailed('the model gave too few or too many rows');
    this.#count(batch, output.runMs);
    lane.measureHop(this.#clock.monotonic() - batch.startedMs, output.runMs);
    if (tickets.length === 1) return this.#finishOne(tickets[0] as RunTicket, batch, output);
    let from = 0;
    for (const ticket of tickets) {
      // Taken before: nobody waits for the result of one that was cancelled or has expired meanwhile.
      if (ticket.phase === 'running') this.#resolve(ticket, output.runMs, shareOf(output, from, ticket.rows));
      from += ticket.rows;
    }
  }

  #finishOne(ticket: RunTicket, { partFrom }: Batch, output: RunOutput): void {
    if (ticket.phase === 'settled') return;
    ticket.runMs += output.runMs;
    const whole = partFrom < 0 ? output : mergePart(ticket, partFrom, output);
    if (whole !== null) this.#resolve(ticket, ticket.runMs, whole);
  }

  #count(batch: Batch, runMs: number): void {
    const { rows, tickets, reason, inputMs, span } = batch;
    this.statistics.recordBatch(rows, inputMs * 1e6, runMs * 1e6, 0, this.#clock.now());
    this.cost.add(rows, runMs);
    this.#report(reason, rows, tickets, runMs, true);
    span?.end(false);
  }

  #report(
    reason: DispatchReason,
    rows: number,
    tickets: readonly RunTicket[],
    runMs: number,
    ok: boolean,
  ): void {
    const waitedMs = tickets[0]?.queueMs ?? 0;
    const { placement } = this;
    this.#observer.dispatched(reason, { rows, requests: tickets.length, runMs, waitedMs, placement, ok });
  }

  async #failed(lane: Lane, batch: Batch, error: unknown): Promise<void> {
    const failure = error instanceof SlipwayError ? error : inferenceFailed(String(error));
    const { tickets, rows, reason, startedMs, span } = batch;
    this.#report(reason, rows, tickets, this.#clock.monotonic() - startedMs, false);
    span?.end(true);
    if (tickets.length > 1 && isInputFailure(failure)) return this.#isolate(lane, tickets);
    for (const ticket of tickets) this.#fail(ticket, failure);
  }

  /**
   * Nobody knows on whose rows the model failed, so each request gets a run of its own, once. Not after a run that
   * took too long or lost its thread: the same again for every request would hold up all that wait.
   */
  async #isolate(lane: Lane, tickets: readonly RunTicket[]): Promise<void> {
    let failed = 0;
    let lost: SlipwayError | null = null;
    for (const ticket of tickets) {
      if (ticket.phase === 'settled') continue;
      if (lost !== null) {
        this.#fail(ticket, lost);
        continue;
      }
      if (ticket.deadlineMs <= this.#clock.monotonic()) {
        this.expired(ticket);
        continue;
      }
      const span = this.#observer.traced?.([ticket], ticket.rows) ?? null;
      try {
        const output = await lane.session.run(ticket.features, ticket.rows, span?.traceparent);
        span?.end(false);
        ticket.batchRows = ticket.rows;
        const { runMs } = output;
        this.statistics.recordBatch(ticket.rows, 0, runMs * 1e6, 0, this.#clock.now());
        if (!isSettled(ticket)) this.#resolve(ticket, runMs, output);
      } catch (error) {
        span?.end(true);
        const failure = error instanceof SlipwayError ? error : inferenceFailed(String(error));
        failed += 1;
        if (!isInputFailure(failure)) lost = failure;
        this.#fail(ticket, failure);
      }
    }
    this.#observer.isolated(tickets.length, failed);
  }

  #resolve(ticket: RunTicket, runMs: number, output: ModelOutput): void {
    ticket.runMs = runMs;
    this.#settle(ticket);
    ticket.resolve(output);
  }

  #fail(ticket: RunTicket, error: SlipwayError): void {
    if (ticket.phase === 'settled') return;
    // One part of a large request failed: its other rows are of no use.
    if (ticket.phase === 'waiting') this.#queue.remove(ticket);
    this.#settle(ticket);
    ticket.reject(error);
  }

  #drop(ticket: RunTicket, error: SlipwayError, why: 'expired' | 'cancelled'): void {
    if (ticket.phase !== 'waiting' && ticket.phase !== 'running') return;
    this.#fail(ticket, error);
    this.#observer.dropped(why);
    this.#checkDrained();
  }

  #settle(ticket: RunTicket): void {
    this.#wheel.remove(ticket);
    ticket.phase = 'settled';
    ticket.owner = null;
    ticket.features = NO_FEATURES;
    ticket.merged = null;
  }

  async #retireWhenDrained(): Promise<void> {
    while (this.#queue.head !== null || this.#collecting || this.#lane.inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
    }
    this.#closed = true;
    await Promise.all([this.#lane.retire(), ...this.#leaving]);
  }

  #checkDrained(): void {
    if (this.#drained === null || this.#queue.head !== null || this.#collecting) return;
    if (this.#lane.inFlight === 0) this.#drained();
  }
}

/** Its phase may have changed while a run was awaited, which the compiler does not see. */
function isSettled(ticket: RunTicket): boolean {
  return ticket.phase === 'settled';
}

const NO_FEATURES = new Float32Array(0);

// Thrown as they are: under overload many requests expire at once, and a stack for each would cost more than a run.
const DEADLINE_EXCEEDED = new SlipwayError(
  'DEADLINE_EXCEEDED',
  'The deadline passed before the model could answer; allow more time or send less at once.',
);
const CALLER_GONE = new SlipwayError('CALLER_GONE', 'The caller left before the model could answer.');
const RETIRED = new SlipwayError(
  'MODEL_NOT_READY',
  'this version is not loaded any more; try again in a moment',
);

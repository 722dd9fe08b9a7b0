/**
 * One request's rows on their way through a batcher: what the caller may set and read, and the batcher's own marks on
 * it. One object of one shape for each request, linked into the queue and the deadline wheel by its own fields, so
 * that waiting, leaving and expiring each cost a few assignments.
 */
import type { ModelOutput } from '../models/model-session.ts';
import type { InferenceSpan } from '../tracing.ts';

export type TicketPhase = 'new' | 'waiting' | 'running' | 'settled';

/** The batcher that has the ticket. */
export interface TicketOwner {
  cancelled(ticket: RunTicket): void;
  expired(ticket: RunTicket): void;
}

export class RunTicket {
  /** Monotonic milliseconds; until then it waits for the model. */
  deadlineMs: number;
  /** From the call until its batch was taken. */
  queueMs = 0;
  /** Of its batch. */
  runMs = 0;
  /** Rows of the batch that it was in; 0 as long as no model has had it. */
  batchRows = 0;
  /** The request's own, set by the caller when it is recorded: the batch's span links to it. */
  span: InferenceSpan | undefined = undefined;

  /** Everything below belongs to the batcher. */
  phase: TicketPhase = 'new';
  features: Float32Array = NO_FEATURES;
  rows = 0;
  enqueuedMs = 0;
  /** Of a request that is larger than a batch: rows that were handed to the model, rows that came back. */
  takenRows = 0;
  doneRows = 0;
  merged: ModelOutput | null = null;
  owner: TicketOwner | null = null;
  resolve: (output: ModelOutput) => void = unclaimed;
  reject: (error: Error) => void = unclaimed;
  queuePrevious: RunTicket | null = null;
  queueNext: RunTicket | null = null;
  wheelSlot = -1;
  wheelPrevious: RunTicket | null = null;
  wheelNext: RunTicket | null = null;

  constructor(deadlineMs = Infinity) {
    this.deadlineMs = deadlineMs;
  }

  /** The caller has gone. While it waits, it never reaches the model; while it runs, its result is dropped. */
  cancel(): void {
    this.owner?.cancelled(this);
  }

  /** Called by the deadline wheel. */
  expire(): void {
    this.owner?.expired(this);
  }
}

const NO_FEATURES = new Float32Array(0);

function unclaimed(): void {}

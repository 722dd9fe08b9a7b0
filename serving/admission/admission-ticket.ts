/** An admitted request: its place among those under way, and its way through the batcher. */
import { RunTicket } from '../batching/index.ts';
import type { Priority } from './priority.ts';

/** Who hears of its end. */
export interface TicketBook {
  released(ticket: AdmissionTicket, answered: boolean, nowMs: number): void;
  lowered(ticket: AdmissionTicket, priority: Priority): boolean;
}

export class AdmissionTicket extends RunTicket {
  readonly gate: object;
  readonly startedMs: number;
  priority: Priority;
  readonly group: number;
  /** Expected at admission from then to the answer, and the model's part of it. */
  readonly predictedMs: number;
  readonly modelMs: number;
  /** Under way with this one, and rejections until then, when it was admitted. */
  readonly inFlight: number;
  readonly rejectedBefore: number;
  readonly #book: TicketBook;
  #released = false;

  constructor(
    book: TicketBook,
    gate: object,
    place: {
      readonly startedMs: number;
      readonly deadlineMs: number;
      readonly priority: Priority;
      readonly group: number;
      readonly predictedMs: number;
      readonly modelMs: number;
      readonly inFlight: number;
      readonly rejectedBefore: number;
    },
  ) {
    super(place.startedMs + place.deadlineMs);
    this.#book = book;
    this.gate = gate;
    this.startedMs = place.startedMs;
    this.priority = place.priority;
    this.group = place.group;
    this.predictedMs = place.predictedMs;
    this.modelMs = place.modelMs;
    this.inFlight = place.inFlight;
    this.rejectedBefore = place.rejectedBefore;
  }

  /** The V2 parameter `timeout`; 0 says nothing. It can only shorten what the headers allow. */
  shorten(timeoutMicros: number): void {
    if (timeoutMicros > 0) this.deadlineMs = Math.min(this.deadlineMs, this.startedMs + timeoutMicros / 1000);
  }

  /**
   * The V2 parameter `priority`, which can only lower.
   * @returns false when there is no room for the lower class: the request is to be refused as overloaded
   */
  lower(priority: Priority): boolean {
    return priority >= this.priority || this.#book.lowered(this, priority);
  }

  /** At its end, however it ended; more than once is the same as once. `answered`: its latency says something. */
  release(answered: boolean, nowMs: number): void {
    if (this.#released) return;
    this.#released = true;
    this.#book.released(this, answered, nowMs);
  }
}

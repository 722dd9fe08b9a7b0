/**
 * Expires tickets at their deadlines, all with one timer. A timer for each request costs more than the run of a small
 * model, and nearly no request expires: entering and leaving is a few assignments here, and the timer sleeps until
 * the earliest deadline that it knew when it was set.
 *
 * A slot holds the tickets of one tick of time, modulo the wheel's length; a ticket of a later turn stays in its slot.
 */
import type { Clock } from '../../platform/clock.ts';
import type { RunTicket } from './run-ticket.ts';

const TICK_MS = 2;
/** A power of two; one turn of the wheel is about four seconds, longer than nearly all deadlines. */
const SLOTS = 2048;

export class DeadlineWheel {
  readonly #clock: Clock;
  readonly #slots: (RunTicket | null)[] = Array.from({ length: SLOTS }, () => null);
  #count = 0;
  /** The first tick that has not been swept. */
  #tick = 0;
  #timer: NodeJS.Timeout | null = null;
  #wakeAtMs = Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Tickets with a deadline ahead. */
  get size(): number {
    return this.#count;
  }

  add(ticket: RunTicket): void {
    const { deadlineMs } = ticket;
    if (deadlineMs === Infinity) return;
    if (this.#count === 0) this.#tick = tickOf(this.#clock.monotonic());
    // One that is due already goes into the next slot to be swept.
    const slot = Math.max(tickOf(deadlineMs), this.#tick) & (SLOTS - 1);
    const first = this.#slots[slot] as RunTicket | null;
    ticket.wheelSlot = slot;
    ticket.wheelNext = first;
    if (first !== null) first.wheelPrevious = ticket;
    this.#slots[slot] = ticket;
    this.#count += 1;
    if (deadlineMs < this.#wakeAtMs) this.#wakeAt(deadlineMs);
  }

  remove(ticket: RunTicket): void {
    if (ticket.wheelSlot < 0) return;
    const { wheelPrevious, wheelNext } = ticket;
    if (wheelPrevious === null) this.#slots[ticket.wheelSlot] = wheelNext;
    else wheelPrevious.wheelNext = wheelNext;
    if (wheelNext !== null) wheelNext.wheelPrevious = wheelPrevious;
    ticket.wheelSlot = -1;
    ticket.wheelPrevious = null;
    ticket.wheelNext = null;
    this.#count -= 1;
  }

  #wakeAt(deadlineMs: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#wakeAtMs = deadlineMs;
    // An idle process may leave: who waits for an answer holds a connection or a thread.
    this.#timer = setTimeout(() => this.#sweep(), Math.max(1, deadlineMs - this.#clock.monotonic())).unref();
  }

  #sweep(): void {
    this.#timer = null;
    this.#wakeAtMs = Infinity;
    const now = this.#clock.monotonic();
    const last = tickOf(now);
    const ticks = Math.min(last - this.#tick + 1, SLOTS);
    for (let tick = last - ticks + 1; tick <= last; tick += 1) this.#sweepSlot(tick & (SLOTS - 1), now);
    // The present tick is not over: tickets with deadlines in it are swept again.
    this.#tick = last;
    if (this.#count > 0) this.#wakeAt(this.#earliest());
  }

  #sweepSlot(slot: number, now: number): void {
    let ticket = this.#slots[slot] as RunTicket | null;
    while (ticket !== null) {
      const next: RunTicket | null = ticket.wheelNext;
      if (ticket.deadlineMs <= now) {
        this.remove(ticket);
        ticket.expire();
      }
      ticket = next;
    }
  }

  /** The earliest deadline of this turn of the wheel, or the turn's end. */
  #earliest(): number {
    for (let tick = this.#tick; tick < this.#tick + SLOTS; tick += 1) {
      let earliest = Infinity;
      const end = (tick + 1) * TICK_MS;
      let ticket = this.#slots[tick & (SLOTS - 1)] as RunTicket | null;
      for (; ticket !== null; ticket = ticket.wheelNext) earliest = Math.min(earliest, ticket.deadlineMs);
      if (earliest <= end) return earliest;
    }
    return (this.#tick + SLOTS - 1) * TICK_MS;
  }
}

function tickOf(ms: number): number {
  return Math.floor(ms / TICK_MS);
}

const wheels = new WeakMap<Clock, DeadlineWheel>();

/** One for each clock, that is, one for the process. */
export function deadlineWheel(clock: Clock): DeadlineWheel {
  let wheel = wheels.get(clock);
  if (wheel === undefined) wheels.set(clock, (wheel = new DeadlineWheel(clock)));
  return wheel;
}

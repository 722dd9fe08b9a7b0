/** First in, first out, with removal from the middle in constant time: a request that expires frees its rows at once. */
import type { RunTicket } from './run-ticket.ts';

export class TicketQueue {
  #head: RunTicket | null = null;
  #tail: RunTicket | null = null;
  #requests = 0;
  #rows = 0;

  get head(): RunTicket | null {
    return this.#head;
  }

  get requests(): number {
    return this.#requests;
  }

  /** Not yet handed to the model. */
  get rows(): number {
    return this.#rows;
  }

  push(ticket: RunTicket): void {
    ticket.queuePrevious = this.#tail;
    if (this.#tail === null) this.#head = ticket;
    else this.#tail.queueNext = ticket;
    this.#tail = ticket;
    this.#requests += 1;
    this.#rows += ticket.rows - ticket.takenRows;
  }

  remove(ticket: RunTicket): void {
    const { queuePrevious, queueNext } = ticket;
    if (queuePrevious === null) this.#head = queueNext;
    else queuePrevious.queueNext = queueNext;
    if (queueNext === null) this.#tail = queuePrevious;
    else queueNext.queuePrevious = queuePrevious;
    ticket.queuePrevious = null;
    ticket.queueNext = null;
    this.#requests -= 1;
    this.#rows -= ticket.rows - ticket.takenRows;
  }

  /** The model gets the next `rows` of a request that stays in the queue for the rest of them. */
  takePart(ticket: RunTicket, rows: number): void {
    ticket.takenRows += rows;
    this.#rows -= rows;
  }
}

/** The rows of one run and the requests that they belong to. */
import type { ModelOutput } from '../models/model-session.ts';
import type { BatchSpan } from '../tracing.ts';
import type { DispatchReason } from './batch-observer.ts';
import type { RunTicket } from './run-ticket.ts';

export interface Batch {
  readonly tickets: readonly RunTicket[];
  readonly features: Float32Array;
  readonly rows: number;
  /** First row of its only request, when that is too large for one run; else -1. */
  readonly partFrom: number;
  readonly reason: DispatchReason;
  readonly startedMs: number;
  /** For putting the rows together. */
  readonly inputMs: number;
  readonly span: BatchSpan | null;
}

/** The rows of all tickets in one array; a single request's own array is passed on as it is. */
export function joinRows(tickets: readonly RunTicket[], rows: number): Float32Array {
  const [first] = tickets;
  if (first === undefined) return new Float32Array(0);
  if (tickets.length === 1) return first.features;
  const joined = new Float32Array((first.features.length / first.rows) * rows);
  let at = 0;
  for (const { features } of tickets) {
    joined.set(features, at);
    at += features.length;
  }
  return joined;
}

/** One request's share of a batch's output: views, not copies. */
export function shareOf(output: ModelOutput, from: number, rows: number): ModelOutput {
  if (from === 0 && rows === output.scores.length) return output;
  return {
    labels: output.labels.subarray(from, from + rows),
    scores: output.scores.subarray(from, from + rows),
  };
}

/** Adds the output of one part of a large request; the whole output once all parts are there. */
export function mergePart(ticket: RunTicket, from: number, output: ModelOutput): ModelOutput | null {
  const { rows } = ticket;
  const merged = (ticket.merged ??= { labels: new BigInt64Array(rows), scores: new Float32Array(rows) });
  merged.labels.set(output.labels, from);
  merged.scores.set(output.scores, from);
  ticket.doneRows += output.scores.length;
  return ticket.doneRows === rows ? merged : null;
}

/**
 * Turns requests into batches: one `Batcher` for each loaded model version.
 *
 * It is greedy and has no timer: when the model is free, what waits is taken, oldest first, whole requests, as many
 * rows as the learned cost says fit its slice. A timer would only add its delay: below saturation it was measured to
 * be no better at any rate, and at saturation batches fill by themselves.
 *
 * Promises: an answer has its own request's rows in their order, whatever was in the batch; one request that the
 * model fails on does not fail its neighbours; what has expired or was cancelled never enters a batch; a request is
 * answered within a few milliseconds of its deadline although the model is still busy.
 */
export { RunTicket } from './run-ticket.ts';

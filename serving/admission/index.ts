/**
 * Who is let in when not everybody can be served: decided from the headers, before a byte of the body is read, since
 * under overload the parsing of requests that come too late is what costs the others their deadline.
 *
 * Promises: who is rejected is told at once, when to come back, on a connection that stays usable; a lower priority is
 * shed before a higher one, and in one class the same users for an hour; a critical request is shed only when the
 * gateway is full to its cap or cannot meet its deadline. Health, metadata and metrics are never shed.
 */
export { Admission } from './admission.ts';
export type { AdmissionSettings } from './admission.ts';
export type { AdmissionMetrics, AdmissionState } from './admission-metrics.ts';
export { AdmissionTicket } from './admission-ticket.ts';
export { BackPressure } from './back-pressure.ts';
export { createLoopProbe } from './loop-probe.ts';
export type { LoopProbe } from './loop-probe.ts';
export { priorityOfParameter } from './priority.ts';
export { watchCaller } from './watch-caller.ts';

/**
 * The inference gateway: answers Open Inference Protocol V2 requests from the model versions that its routes name.
 *
 * Promises, each held by a test:
 * - The champion always answers. Nothing that another process, the database, a candidate, a shadow or a load does can
 *   fail or hold up its answers; without the control plane it starts from what it saved on disk.
 * - Only what was verified is served: the bytes that are hashed are the bytes that ONNX Runtime gets.
 * - A candidate can lose exposure here at once (lease, breaker, revocation, a newer route) and gain it only by a
 *   route that was read.
 * - Every request that reaches a model is counted once, under the generation that it was routed by, and flushed
 *   exactly once. A request that names its version (`arm: pinned`) is no evidence and is not counted.
 *
 * A candidate runs in a thread of its own until it is promoted, so that a slow or hanging one stops nobody; a champion
 * runs on the event loop when it is cheap, where a run costs a fifth of a thread's round trip.
 *
 * Prediction ids: the answer's `prediction_id` names the row of a request with one row; row i of several is `<id>/<i>`.
 *
 * Layout: `http/` bytes and paths · `protocol/` V2 documents · `routing/` which arm · `models/` loading and running ·
 * here: one endpoint's life (`served-endpoint`), following (`route-follower`), evidence (`arm-tally`, `flusher`),
 * `guard`, `shadow`, and the ports with their no-op stand-ins.
 */
export { createGateway } from './gateway.ts';
export type { Gateway, GatewayOptions, GatewaySettings } from './gateway.ts';
export type { AnswerArm, GatewayMetrics, Outcome, Placement } from './metrics.ts';
export type { GatewayTracer, InferenceSpan } from './tracing.ts';

/**
 * One inference, from the bytes of its body to the text of its answer: check, join features, choose an arm, run, count.
 * No other process is asked on the way, but for features that are not in the cache and models that run elsewhere.
 */
import { SlipwayError } from '../domain/errors.ts';
import type { Digest } from '../domain/routing/route.ts';
import type { Clock } from '../platform/clock.ts';
import { priorityOfParameter } from './admission/index.ts';
import type { AdmissionTicket } from './admission/index.ts';
import type { AnswerRecorder } from './answer-recorder.ts';
import type { BatchedModel } from './batching/batched-model.ts';
import type { FeatureJoiner, JoinedFeatures } from './features/index.ts';
import { explain } from './log.ts';
import type { GatewayLog } from './log.ts';
import type { AnswerArm, GatewayMetrics, Outcome } from './metrics.ts';
import { inferenceFailed, isNoFaultOfModel } from './models/run-failure.ts';
import { isValidOutput } from './models/model-session.ts';
import type { ModelOutput } from './models/model-session.ts';
import { parseInferRequest } from './protocol/infer-request.ts';
import type { InferRequest } from './protocol/infer-request.ts';
import { inferResponse } from './protocol/infer-response.ts';
import type { AnsweredBy, BinaryResponse } from './protocol/infer-response.ts';
import { pickArm, pickMirror } from './routing/serving-route.ts';
import type { ServingRoute } from './routing/serving-route.ts';
import type { ServedEndpoint } from './served-endpoint.ts';
import type { MirrorJob } from './shadow.ts';
import type { InferenceSpan } from './tracing.ts';

export interface InferCall {
  readonly endpoint: ServedEndpoint;
  /** The version that the path names; null for the route's choice. */
  readonly pinned: Digest | null;
  readonly body: Buffer;
  /** Bytes of JSON before the binary tensors; null when the body is JSON alone. */
  readonly headerLength: number | null;
  /** Header `x-slipway-unit`; the request's own parameter wins. */
  readonly unit: string | undefined;
  /** Monotonic milliseconds at which the request's headers were there. */
  readonly startedMs: number;
  readonly ticket: AdmissionTicket;
  readonly span: InferenceSpan;
}

export interface Answer {
  readonly by: AnsweredBy;
  /** The response; or why there is none. */
  readonly result: string | BinaryResponse | SlipwayError;
  /** To be offered to the shadow once the answer is written. */
  readonly mirror: MirrorJob | null;
}

export interface InferenceOptions {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly rng: () => number;
  readonly newId: () => string;
  readonly recorder: AnswerRecorder;
  readonly metrics: GatewayMetrics;
  readonly log: GatewayLog;
}

export type Infer = (call: InferCall) => Promise<Answer>;

interface Run {
  readonly output: ModelOutput | null;
  readonly outcome: Outcome;
  /** The server that the model runs in did not answer: that is what the caller is told. */
  readonly unavailable: SlipwayError | null;
  readonly startedMs: number;
  readonly endedMs: number;
}

export function createInference(options: InferenceOptions): Infer {
  const inference = new Inference(options);
  return (call) => inference.answer(call);
}

class Inference {
  readonly #options: InferenceOptions;

  constructor(options: InferenceOptions) {
    this.#options = options;
  }

  async answer(call: InferCall): Promise<Answer> {
    const { endpoint, pinned, ticket } = call;
    const { contract, joiner } = endpoint.inputs;
    const request = parseInferRequest(call.body, call.headerLength, contract);
    ticket.shorten(request.timeoutMicros);
    if (!ticket.lower(priorityOfParameter(request.priority))) throw noRoom();
    const joined =
      contract.entities.length === 0 ? null : await join(joiner, request, call, this.#options.clock);
    if (pinned !== null) return this.#pinned(call, pinned, request, joined);
    // Read after the body and the features have come, so that no request runs on a route that was replaced meanwhile.
    const route = endpoint.serving;
    if (route === null) throw notReady(endpoint.name);
    return this.#routed(call, route, request, joined);
  }

  /** By request of the caller, outside of every rollout: no evidence, no prediction row, no mirror. */
  async #pinned(
    call: InferCall,
    version: Digest,
    request: InferRequest,
    joined: JoinedFeatures,
  ): Promise<Answer> {
    const { metrics, newId } = this.#options;
    const { endpoint, span, startedMs } = call;
    const session = endpoint.session(version);
    const generation = endpoint.serving?.generation ?? 0;
    if (session === null) throw notReady(endpoint.name);
    const by = {
      endpoint: endpoint.name,
      version,
      arm: 'pinned',
      generation,
      predictionId: newId(),
    } as const;
    span.routed(by.endpoint, version, 'pinned', generation);
    const { output, outcome, unavailable, endedMs } = await this.#run(session, request, by, call);
    const latencyMs = endedMs - startedMs;
    metrics.prediction(by.endpoint, version, 'pinned', outcome, latencyMs);
    session.statistics.recordRequest(outcome === 'ok', Math.round(latencyMs * 1e6));
    return { by, result: unavailable ?? resultOf(by, request, output, outcome, joined), mirror: null };
  }

  async #routed(
    call: InferCall,
    route: ServingRoute,
    request: InferRequest,
    joined: JoinedFeatures,
  ): Promise<Answer> {
    const { clock, rng, newId, recorder } = this.#options;
    const { endpoint, span, startedMs } = call;
    const { rows } = request;
    const now = clock.monotonic();
    const picked = pickArm(route, request.unit ?? call.unit, request.features, now, rng);
    const { arm } = picked;
    const mirrorTo = arm === route.champion ? pickMirror(route, now, rng) : null;
    // The session may take the array away.
    const { logsFeatures } = endpoint.inputs;
    const copy = mirrorTo !== null || logsFeatures ? request.features.slice() : null;
    const by: AnsweredBy = {
      endpoint: endpoint.name,
      version: arm.version,
      arm: arm.tally.arm as AnswerArm,
      generation: route.generation,
      predictionId: newId(),
    };
    span.routed(by.endpoint, by.version, by.arm, by.generation);
    const kept = { rows, features: logsFeatures ? copy : null, statuses: joined?.codes ?? null };
    let ran: Run;
    try {
      ran = await this.#run(arm.session, request, by, call);
    } catch (error) {
      if (error instanceof SlipwayError && error.code === 'DEADLINE_EXCEEDED') {
        const endedMs = clock.monotonic();
        const { batchRows, queueMs } = call.ticket;
        const stuck = batchRows > 0 && queueMs < (endedMs - now) / 2;
        const latencyMs = endedMs - startedMs;
        recorder.record(endpoint, picked, by, {
          ...kept,
          output: null,
          outcome: 'expired',
          stuck,
          latencyMs,
        });
      }
      throw error;
    }
    const { output, outcome, unavailable, endedMs } = ran;
    const latencyMs = endedMs - startedMs;
    recorder.record(endpoint, picked, by, { ...kept, output, outcome, stuck: false, latencyMs });
    const result = unavailable ?? resultOf(by, request, output, outcome, joined);
    if (mirrorTo === null || copy === null || route.candidate === null) return { by, result, mirror: null };
    const mirror: MirrorJob = {
      spec: endpoint.spec,
      arm: mirrorTo,
      champion: arm,
      exposure: route.candidate.exposure,
      features: copy,
      rows,
      answer: output,
      overheadMs: latencyMs - (endedMs - ran.startedMs),
      predictionId: by.predictionId,
    };
    return { by, result, mirror };
  }

  /** @throws SlipwayError when the request left the queue, or the version was taken away: no fault of the model */
  async #run(
    session: BatchedModel,
    request: InferRequest,
    by: AnsweredBy,
    { ticket, span }: InferCall,
  ): Promise<Run> {
    const { clock, log } = this.#options;
    const startedMs = clock.monotonic();
    if (span.recording) ticket.span = span;
    const ended = (
      output: ModelOutput | null,
      outcome: Outcome,
      unavailable: SlipwayError | null = null,
    ): Run => {
      const endedMs = clock.monotonic();
      if (span.recording) {
        const taken = startedMs + ticket.queueMs;
        span.stage('queue', startedMs, taken);
        span.stage('inference', taken, endedMs);
      }
      return { output, outcome, unavailable, startedMs, endedMs };
    };
    try {
      const output = await session.run(request.features, request.rows, ticket);
      return isValidOutput(output, request.rows) ? ended(output, 'ok') : ended(null, 'invalid');
    } catch (error) {
      if (isNoFaultOfModel(error)) throw error;
      const { endpoint, version, arm } = by;
      log.warn({ endpoint, version, arm, reason: explain(error) }, 'a model run failed');
      const isAway = error instanceof SlipwayError && error.code === 'REMOTE_UNAVAILABLE';
      return ended(null, 'error', isAway ? error : null);
    }
  }
}

async function join(
  joiner: FeatureJoiner | null,
  { features, rows, keys }: InferRequest,
  { endpoint, ticket, span }: InferCall,
  clock: Clock,
): Promise<JoinedFeatures> {
  if (joiner === null) {
    throw new SlipwayError(
      'FEATURES_UNAVAILABLE',
      `${endpoint.name} needs online features, and this gateway has no store for them`,
    );
  }
  const startedMs = clock.monotonic();
  const byEntity = joiner.entities.map((entity) => keys?.get(entity) ?? []);
  const joined = joiner.join(features, rows, byEntity, ticket.deadlineMs);
  const statuses = joined instanceof Promise ? await joined : joined;
  if (span.recording) span.stage('features', startedMs, clock.monotonic());
  return statuses;
}

function resultOf(
  by: AnsweredBy,
  request: InferRequest,
  output: ModelOutput | null,
  outcome: Outcome,
  joined: JoinedFeatures,
): string | BinaryResponse | SlipwayError {
  if (output !== null) return inferResponse(by, request, output, joined === null ? null : joined.toString());
  return inferenceFailed(
    outcome === 'invalid' ? 'the model gave a score that is no probability' : 'the run failed',
  );
}

function noRoom(): SlipwayError {
  return new SlipwayError(
    'OVERLOADED',
    'there is no room for the priority that the parameters ask for; try again later',
  );
}

function notReady(endpoint: string): SlipwayError {
  return new SlipwayError(
    'MODEL_NOT_READY',
    `no version of ${endpoint} is loaded yet; try again in a moment`,
  );
}

/**
 * One inference, from the bytes of its body to the text of its answer: check, choose an arm, run, count. No database
 * and no other process is asked on the way.
 */
import { SlipwayError } from '../domain/errors.ts';
import type { Digest } from '../domain/routing/route.ts';
import type { Clock } from '../platform/clock.ts';
import { count } from './arm-tally.ts';
import type { Guard } from './guard.ts';
import { explain } from './log.ts';
import type { GatewayLog } from './log.ts';
import type { AnswerArm, GatewayMetrics, Outcome } from './metrics.ts';
import { inferenceFailed } from './models/onnx.ts';
import { isValidOutput } from './models/model-session.ts';
import type { ModelOutput, ModelSession } from './models/model-session.ts';
import type { PredictionLog } from './prediction-log.ts';
import { parseInferRequest } from './protocol/infer-request.ts';
import type { InferRequest } from './protocol/infer-request.ts';
import { inferResponse } from './protocol/infer-response.ts';
import type { AnsweredBy } from './protocol/infer-response.ts';
import { pickArm, pickMirror } from './routing/serving-route.ts';
import type { ServingArm, ServingRoute } from './routing/serving-route.ts';
import type { ServedEndpoint } from './served-endpoint.ts';
import type { MirrorJob } from './shadow.ts';
import type { InferenceSpan } from './tracing.ts';

export interface InferCall {
  readonly endpoint: ServedEndpoint;
  /** The version that the path names; null for the route's choice. */
  readonly pinned: Digest | null;
  readonly body: Buffer;
  /** Header `x-slipway-unit`; the request's own parameter wins. */
  readonly unit: string | undefined;
  /** Monotonic milliseconds at which the request's headers were there. */
  readonly startedMs: number;
  readonly span: InferenceSpan;
}

export interface Answer {
  readonly by: AnsweredBy;
  /** The response; or why there is none. */
  readonly result: string | SlipwayError;
  /** To be offered to the shadow once the answer is written. */
  readonly mirror: MirrorJob | null;
}

export interface InferenceOptions {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly rng: () => number;
  readonly newId: () => string;
  readonly guard: Guard;
  readonly predictions: PredictionLog;
  readonly metrics: GatewayMetrics;
  readonly log: GatewayLog;
}

export type Infer = (call: InferCall) => Promise<Answer>;

interface Run {
  readonly output: ModelOutput | null;
  readonly outcome: Outcome;
  readonly ms: number;
}

export function createInference(options: InferenceOptions): Infer {
  const { clock, rng, newId, metrics, log } = options;

  const run = async (session: ModelSession, request: InferRequest, by: AnsweredBy): Promise<Run> => {
    const started = clock.monotonic();
    try {
      const output = await session.run(request.features, request.rows);
      const outcome = isValidOutput(output, request.rows) ? 'ok' : 'invalid';
      return { output: outcome === 'ok' ? output : null, outcome, ms: clock.monotonic() - started };
    } catch (error) {
      log.warn(
        { endpoint: by.endpoint, version: by.version, arm: by.arm, reason: explain(error) },
        'a model run failed',
      );
      return { output: null, outcome: 'error', ms: clock.monotonic() - started };
    }
  };

  /** By request of the caller, outside of every rollout: no evidence, no prediction row, no mirror. */
  const answerPinned = async (call: InferCall, version: Digest, request: InferRequest): Promise<Answer> => {
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
    const { output, outcome } = await run(session, request, by);
    metrics.prediction(by.endpoint, version, 'pinned', outcome, clock.monotonic() - startedMs);
    return { by, result: resultOf(by, request, output, outcome), mirror: null };
  };

  const answerRouted = async (
    call: InferCall,
    route: ServingRoute,
    request: InferRequest,
  ): Promise<Answer> => {
    const { endpoint, span, startedMs } = call;
    const now = clock.monotonic();
    const arm = pickArm(route, request.unit ?? call.unit, now, rng);
    const mirrorTo = arm === route.champion ? pickMirror(route, now, rng) : null;
    // The session may take the array away.
    const copy = mirrorTo === null ? null : request.features.slice();
    const by: AnsweredBy = {
      endpoint: endpoint.name,
      version: arm.version,
      arm: arm.tally.arm as AnswerArm,
      generation: route.generation,
      predictionId: newId(),
    };
    span.routed(by.endpoint, by.version, by.arm, by.generation);
    const { output, outcome, ms } = await run(arm.session, request, by);
    const latencyMs = clock.monotonic() - startedMs;
    record(options, endpoint, route, arm, by, { rows: request.rows, output, outcome, latencyMs });
    const result = resultOf(by, request, output, outcome);
    if (mirrorTo === null || copy === null || route.candidate === null) return { by, result, mirror: null };
    const mirror: MirrorJob = {
      spec: endpoint.spec,
      arm: mirrorTo,
      exposure: route.candidate.exposure,
      features: copy,
      rows: request.rows,
      scores: output?.scores ?? null,
      overheadMs: latencyMs - ms,
      predictionId: by.predictionId,
    };
    return { by, result, mirror };
  };

  return async (call) => {
    const { endpoint, pinned } = call;
    const request = parseInferRequest(call.body, endpoint.contract);
    if (pinned !== null) return answerPinned(call, pinned, request);
    // Read after the body has come, so that a request never runs on a route that was replaced meanwhile.
    const route = endpoint.serving;
    if (route === null) throw notReady(endpoint.name);
    return answerRouted(call, route, request);
  };
}

interface Recorded {
  readonly rows: number;
  readonly output: ModelOutput | null;
  readonly outcome: Outcome;
  readonly latencyMs: number;
}

function record(
  { guard, predictions, metrics, clock }: InferenceOptions,
  endpoint: ServedEndpoint,
  route: ServingRoute,
  arm: ServingArm,
  by: AnsweredBy,
  { rows, output, outcome, latencyMs }: Recorded,
): void {
  count(arm.tally, outcome, latencyMs, endpoint.spec.latencySloMs);
  metrics.prediction(by.endpoint, by.version, by.arm, outcome, latencyMs);
  if (arm !== route.champion && route.candidate !== null) {
    guard.record(arm.tally, route.candidate.exposure.breaker, outcome !== 'ok');
  }
  predictions.add(
    {
      predictionId: by.predictionId,
      endpoint: by.endpoint,
      generation: by.generation,
      arm: arm.tally.arm,
      version: by.version,
      atMs: clock.now(),
    },
    rows,
    output,
  );
}

function resultOf(
  by: AnsweredBy,
  request: InferRequest,
  output: ModelOutput | null,
  outcome: Outcome,
): string | SlipwayError {
  if (output !== null) return inferResponse(by, request, output);
  return inferenceFailed(
    outcome === 'invalid' ? 'the model gave a score that is no probability' : 'the run failed',
  );
}

function notReady(endpoint: string): SlipwayError {
  return new SlipwayError(
    'MODEL_NOT_READY',
    `no version of ${endpoint} is loaded yet; try again in a moment`,
  );
}

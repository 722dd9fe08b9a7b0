/**
 * The gateway over HTTP: Open Inference Protocol V2 in JSON and binary, health and metrics. On `node:http` itself: a canned
 * answer through Fastify without a schema cost 0–18 % more CPU in interleaved runs, and admission by headers alone
 * needs to decide before a framework reads the body.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { SlipwayError } from '../../domain/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import { watchCaller } from '../admission/index.ts';
import type { Admission, BackPressure } from '../admission/index.ts';
import type { Infer } from '../inference.ts';
import { explain } from '../log.ts';
import type { GatewayLog } from '../log.ts';
import { resolveVersion } from '../protocol/metadata.ts';
import { wireError } from '../protocol/wire-error.ts';
import type { Shadow } from '../shadow.ts';
import type { GatewayTracer } from '../tracing.ts';
import { checkMediaType, contentEncoding, headerLength } from './media-type.ts';
import { CallerGone, readBody } from './read-body.ts';
import { endpointOf, handleRead } from './read-calls.ts';
import type { ReadOptions } from './read-calls.ts';
import { JSON_TYPE, send } from './send.ts';
import { targetOf } from './target.ts';
import type { Target } from './target.ts';

export interface HttpOptions extends ReadOptions {
  readonly admission: Admission;
  readonly backPressure: BackPressure;
  readonly infer: Infer;
  readonly shadow: Shadow;
  readonly clock: Clock;
  readonly tracer: GatewayTracer;
  readonly log: GatewayLog;
}

export function createHttpServer(options: HttpOptions): Server {
  const server = createServer((request, response) => {
    // While the server stops, callers are told to go elsewhere with their next request.
    if (!server.listening) response.setHeader('connection', 'close');
    void handle(options, request, response);
  });
  // Who asks first whether to send the body learns it from the decision that needs no body.
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    if (!server.listening) response.setHeader('connection', 'close');
    void handle(options, request, response, true);
  });
  // Longer than the idle time of common clients and load balancers: whoever closes first must not be the server, or a
  // request that is on its way meets a closed connection.
  server.keepAliveTimeout = 75_000;
  server.headersTimeout = 10_000;
  server.requestTimeout = 30_000;
  return server;
}

async function handle(
  options: HttpOptions,
  request: IncomingMessage,
  response: ServerResponse,
  asksToContinue = false,
): Promise<void> {
  try {
    const target = targetOf(request.url ?? '/');
    if (request.method !== target.method) {
      response.setHeader('allow', target.method);
      throw new SlipwayError('METHOD_NOT_ALLOWED', `this path takes ${target.method}`);
    }
    if (target.kind === 'infer') {
      await handleInfer(options, target, request, response, asksToContinue);
    } else {
      if (asksToContinue) response.writeContinue();
      await handleRead(options, target, request, response);
    }
  } catch (error) {
    if (isCallerGone(error)) return;
    refuse(options, response, error);
  }
}

async function handleInfer(
  { endpoints, admission, backPressure, infer, shadow, maxBodyBytes, clock, tracer }: HttpOptions,
  { model, version }: Extract<Target, { kind: 'infer' }>,
  request: IncomingMessage,
  response: ServerResponse,
  asksToContinue: boolean,
): Promise<void> {
  const startedMs = clock.monotonic();
  const { headers } = request;
  checkMediaType(headers);
  const encoding = contentEncoding(headers);
  const jsonLength = headerLength(headers);
  const endpoint = endpointOf(endpoints, model);
  const pinned = version === undefined ? null : resolveVersion(endpoint, version);
  const expected = pinned === null ? (endpoint.serving?.champion.session ?? null) : endpoint.session(pinned);
  const { deadlineMs } = endpoint.spec.serving;
  const ticket = admission.decide(headers, endpoint.name, deadlineMs, expected, startedMs);
  if ('reason' in ticket) return backPressure.reject(response, ticket);
  backPressure.admitted(response);
  watchCaller(response, ticket);
  if (asksToContinue) response.writeContinue();
  let answered = false;
  const span = tracer.begin(
    headers['traceparent'] as string | undefined,
    headers['tracestate'] as string | undefined,
  );
  let code: string | undefined;
  try {
    const leftMs = Math.max(1, ticket.deadlineMs - clock.monotonic());
    const late = setTimeout(() => request.destroy(new CallerGone()), leftMs);
    const body = await readBody(request, maxBodyBytes, encoding).finally(() => clearTimeout(late));
    const unit = headers['x-slipway-unit'] as string | undefined;
    const call = {
      endpoint,
      pinned,
      body,
      headerLength: jsonLength,
      unit: unit === '' ? undefined : unit,
      startedMs,
      ticket,
      span,
    };
    const { by, result, mirror } = await infer(call);
    if (result instanceof SlipwayError) {
      const wire = wireError(result);
      code = wire.code;
      send(response, wire.status, wire.body, by);
    } else {
      send(response, 200, result, by);
      answered = true;
    }
    if (mirror !== null) shadow.offer(mirror);
  } catch (error) {
    code = isCallerGone(error) ? 'CALLER_GONE' : wireError(error).code;
    throw error;
  } finally {
    ticket.release(answered, clock.monotonic());
    span.end(code);
  }
}

function isCallerGone(error: unknown): boolean {
  return error instanceof CallerGone || (error instanceof SlipwayError && error.code === 'CALLER_GONE');
}

function refuse({ metrics, log }: HttpOptions, response: ServerResponse, error: unknown): void {
  const { status, code, body } = wireError(error);
  if (code === 'INTERNAL') log.error({ reason: explain(error) }, 'a request failed unexpectedly');
  metrics.refusal(code);
  if (response.headersSent) {
    response.destroy();
    return;
  }
  // What was not read of the body would be taken for the next request, or read for nothing.
  if (code === 'BODY_TOO_LARGE' && !response.req.complete) response.setHeader('connection', 'close');
  response.writeHead(status, { 'content-type': JSON_TYPE, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

/**
 * The gateway over HTTP: Open Inference Protocol V2 in JSON, health and metrics. On `node:http` itself: a canned
 * answer through Fastify without a schema cost 0–18 % more CPU in interleaved runs, and admission by headers alone
 * needs to decide before a framework reads the body.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { SlipwayError } from '../../domain/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Infer } from '../inference.ts';
import { explain } from '../log.ts';
import type { GatewayLog } from '../log.ts';
import type { GatewayMetrics } from '../metrics.ts';
import { modelMetadata, resolveVersion } from '../protocol/metadata.ts';
import { wireError } from '../protocol/wire-error.ts';
import type { AnsweredBy } from '../protocol/infer-response.ts';
import type { ServedEndpoint } from '../served-endpoint.ts';
import type { Shadow } from '../shadow.ts';
import type { GatewayTracer } from '../tracing.ts';
import { checkMediaType } from './media-type.ts';
import { CallerGone, readBody } from './read-body.ts';
import { targetOf } from './target.ts';
import type { Target } from './target.ts';

export interface HttpOptions {
  readonly endpoints: ReadonlyMap<string, ServedEndpoint>;
  readonly isReady: () => boolean;
  readonly infer: Infer;
  readonly shadow: Shadow;
  readonly maxBodyBytes: number;
  /** Of this software. */
  readonly version: string;
  readonly clock: Clock;
  readonly metrics: GatewayMetrics;
  readonly tracer: GatewayTracer;
  readonly log: GatewayLog;
}

const JSON_TYPE = 'application/json';

export function createHttpServer(options: HttpOptions): Server {
  const server = createServer((request, response) => {
    // While the server stops, callers are told to go elsewhere with their next request.
    if (!server.listening) response.setHeader('connection', 'close');
    void handle(options, request, response);
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
): Promise<void> {
  try {
    const target = targetOf(request.url ?? '/');
    if (request.method !== target.method) {
      response.setHeader('allow', target.method);
      throw new SlipwayError('METHOD_NOT_ALLOWED', `this path takes ${target.method}`);
    }
    if (target.kind === 'infer') await handleInfer(options, target, request, response);
    else await handleRead(options, target, response);
  } catch (error) {
    if (error instanceof CallerGone) return;
    refuse(options, response, error);
  }
}

async function handleInfer(
  { endpoints, infer, shadow, maxBodyBytes, clock, tracer }: HttpOptions,
  { model, version }: Extract<Target, { kind: 'infer' }>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const startedMs = clock.monotonic();
  const { headers } = request;
  checkMediaType(headers);
  const endpoint = endpointOf(endpoints, model);
  const pinned = version === undefined ? null : resolveVersion(endpoint, version);
  const span = tracer.begin(
    headers['traceparent'] as string | undefined,
    headers['tracestate'] as string | undefined,
  );
  let code: string | undefined;
  try {
    const body = await readBody(request, maxBodyBytes);
    const unit = headers['x-slipway-unit'] as string | undefined;
    const call = { endpoint, pinned, body, unit: unit === '' ? undefined : unit, startedMs, span };
    const { by, result, mirror } = await infer(call);
    if (typeof result === 'string') {
      send(response, 200, result, by);
    } else {
      const wire = wireError(result);
      code = wire.code;
      send(response, wire.status, wire.body, by);
    }
    if (mirror !== null) shadow.offer(mirror);
  } catch (error) {
    code = error instanceof CallerGone ? 'CALLER_GONE' : wireError(error).code;
    throw error;
  } finally {
    span.end(code);
  }
}

async function handleRead(
  { endpoints, isReady, metrics, version: software }: HttpOptions,
  target: Exclude<Target, { kind: 'infer' }>,
  response: ServerResponse,
): Promise<void> {
  switch (target.kind) {
    case 'live':
      return send(response, 200, '{"live":true}', null);
    case 'ready':
      return isReady()
        ? send(response, 200, '{"ready":true}', null)
        : send(response, 503, '{"ready":false}', null);
    case 'server':
      return send(
        response,
        200,
        JSON.stringify({ name: 'slipway', version: software, extensions: [] }),
        null,
      );
    case 'metrics': {
      const { contentType, body } = await metrics.handler();
      response.writeHead(200, { 'content-type': contentType, 'content-length': Buffer.byteLength(body) });
      response.end(body);
      return;
    }
    case 'model': {
      const endpoint = endpointOf(endpoints, target.model);
      const version = target.version === undefined ? null : resolveVersion(endpoint, target.version);
      return send(response, 200, JSON.stringify(modelMetadata(endpoint, version)), null);
    }
    case 'model-ready': {
      const endpoint = endpointOf(endpoints, target.model);
      if (target.version !== undefined) resolveVersion(endpoint, target.version);
      const ready = endpoint.serving !== null;
      return send(response, ready ? 200 : 503, JSON.stringify({ name: endpoint.name, ready }), null);
    }
  }
}

function endpointOf(endpoints: ReadonlyMap<string, ServedEndpoint>, model: string): ServedEndpoint {
  const endpoint = endpoints.get(model);
  if (endpoint === undefined)
    throw new SlipwayError('MODEL_NOT_FOUND', 'no model of this name is served here');
  return endpoint;
}

function send(response: ServerResponse, status: number, body: string, by: AnsweredBy | null): void {
  const headers = ['content-type', JSON_TYPE, 'content-length', String(Buffer.byteLength(body))];
  if (by !== null) {
    headers.push('x-slipway-version', by.version, 'x-slipway-arm', by.arm);
    headers.push('x-slipway-generation', String(by.generation), 'x-slipway-prediction-id', by.predictionId);
  }
  response.writeHead(status, headers);
  response.end(body);
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

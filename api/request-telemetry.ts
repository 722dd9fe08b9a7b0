/** A span and two metrics per request of the API. The span is the active one while the request is handled, so that calls
 * of Temporal and log lines belong to it. */
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, context, propagation, trace } from '@opentelemetry/api';
import type { Meter, Span, Tracer } from '@opentelemetry/api';
import type { FastifyInstance, FastifyRequest } from 'fastify';

export function observeRequests(
  app: FastifyInstance,
  { tracer, meter }: { readonly tracer: Tracer; readonly meter: Meter },
): void {
  const requests = meter.createCounter('slipway_api_requests', { description: 'Requests of the HTTP API.' });
  const latency = meter.createHistogram('slipway_api_latency_seconds', {
    description: 'Time from request to answer.',
    unit: 's',
  });
  const spans = new WeakMap<FastifyRequest, Span>();

  app.addHook('onRequest', (request, _reply, done) => {
    const parent = propagation.extract(ROOT_CONTEXT, request.headers);
    const route = request.routeOptions.url ?? 'unknown path';
    const span = tracer.startSpan(
      `${request.method} ${route}`,
      { kind: SpanKind.SERVER, attributes: { 'http.request.method': request.method, 'http.route': route } },
      parent,
    );
    spans.set(request, span);
    context.with(trace.setSpan(parent, span), done);
  });
  app.addHook('onResponse', (request, reply, done) => {
    const labels = {
      method: request.method,
      route: request.routeOptions.url ?? 'unknown path',
      status: String(reply.statusCode),
    };
    requests.add(1, labels);
    latency.record(reply.elapsedTime / 1000, labels);
    const span = spans.get(request);
    span?.setAttribute('http.response.status_code', reply.statusCode);
    if (reply.statusCode >= 500) span?.setStatus({ code: SpanStatusCode.ERROR });
    span?.end();
    done();
  });
}

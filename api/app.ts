/** The HTTP API over its ports. Nothing is opened here: `api.main.ts` listens, tests inject. */
import { randomUUID } from 'node:crypto';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import { fastify } from 'fastify';
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import { SlipwayError } from '../domain/errors.ts';
import { guardAllRoutes } from './auth.ts';
import { documentRoutes, openapiRoute } from './openapi.ts';
import type { ApiPorts } from './ports.ts';
import { sendProblem } from './problem.ts';
import { observeRequests } from './request-telemetry.ts';
import type { ApiInstance } from './routes/api-instance.ts';
import { auditRoutes } from './routes/audit.ts';
import { experimentRoutes } from './routes/experiments.ts';
import { healthRoutes } from './routes/health.ts';
import { labelRoutes } from './routes/labels.ts';
import { modelRoutes } from './routes/models.ts';
import { releaseRoutes } from './routes/releases.ts';
import { versionRoutes } from './routes/versions.ts';
import { validatorCompiler } from './validation.ts';

/** Ten thousand labels fit; nothing else comes near. */
const BODY_LIMIT_BYTES = 2 * 1024 * 1024;
/** A client that sends its body slower than this is holding a socket, not sending labels. */
const REQUEST_TIMEOUT_MS = 60_000;

export interface ApiOptions {
  readonly ports: ApiPorts;
  readonly logger?: FastifyBaseLogger;
  readonly telemetry?: Parameters<typeof observeRequests>[1];
}

export async function createApi({ ports, logger, telemetry }: ApiOptions): Promise<ApiInstance> {
  const app = fastify({
    ...(logger === undefined ? { logger: false } : { loggerInstance: logger }),
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    genReqId: () => randomUUID(),
    requestIdHeader: false,
    // Keep-alive connections of a dashboard must not hold up a stop.
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 100 },
    frameworkErrors: (error, request, reply) => void sendProblem(error, request, reply),
  }).withTypeProvider<TypeBoxTypeProvider>();

  app.setValidatorCompiler(validatorCompiler);
  // Responses are plain JSON: a serializer that drops what a schema forgot would hide that it forgot. Tests hold the
  // answers against the schemas instead.
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  app.setErrorHandler((error, request, reply) => sendProblem(error, request, reply));
  app.addHook('onSend', async (request, reply) => {
    void reply.header('x-request-id', request.id).header('x-content-type-options', 'nosniff');
  });
  const methods = rememberMethods(app);
  app.setNotFoundHandler((request, reply) => notFound(methods, request, reply));

  if (telemetry !== undefined) observeRequests(app, telemetry);
  guardAllRoutes(app, ports.tokens);
  await documentRoutes(app);
  healthRoutes(app, ports);
  modelRoutes(app, ports);
  releaseRoutes(app, ports);
  versionRoutes(app, ports);
  labelRoutes(app, ports);
  experimentRoutes(app, ports);
  auditRoutes(app, ports);
  openapiRoute(app);
  return app;
}

type AllowedMethods = (path: string) => readonly string[];

/** Which methods a path has, so that a wrong one is told so. */
function rememberMethods(app: FastifyInstance): AllowedMethods {
  const known = new Map<string, { readonly pattern: RegExp; readonly methods: Set<string> }>();
  app.addHook('onRoute', ({ url, method }) => {
    const pattern = new RegExp(`^${url.replaceAll(/[.]/g, '\\.').replaceAll(/:[a-z]+/g, '[^/]+')}$`);
    const entry = known.get(url) ?? { pattern, methods: new Set<string>() };
    for (const one of [method].flat()) entry.methods.add(one);
    known.set(url, entry);
  });
  return (path) => {
    const allowed = [...known.values()].filter(({ pattern }) => pattern.test(path));
    return [...new Set(allowed.flatMap(({ methods }) => [...methods]))].sort();
  };
}

async function notFound(
  methods: AllowedMethods,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const path = request.url.split('?')[0] ?? '';
  const allowed = methods(path);
  if (allowed.length === 0) {
    throw new SlipwayError('NOT_FOUND', 'there is no such path; /openapi.json lists them');
  }
  void reply.header('allow', allowed.join(', '));
  throw new SlipwayError('METHOD_NOT_ALLOWED', `this path takes ${allowed.join(', ')}`);
}

/** The OpenAPI 3.1 document, made from the schemas that the routes validate with, so that it cannot be behind them. */
import swagger from '@fastify/swagger';
import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';

import { PROBLEM_MEDIA_TYPE } from './problem.ts';
import { ProblemSchema } from './schemas/common.ts';

const PROBLEM_RESPONSE = {
  description: 'A problem document (RFC 9457); `code` is one of the table in the error reference.',
  content: { [PROBLEM_MEDIA_TYPE]: { schema: { $ref: 'Problem#' } } },
};

const options: FastifyDynamicSwaggerOptions = {
  openapi: {
    openapi: '3.1.0',
    info: {
      title: 'Slipway',
      version: '1',
      description: 'Releases machine-learning models. Every path but health needs a bearer token.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: [
      { name: 'models', description: 'What is declared, and what serves' },
      { name: 'releases', description: 'A candidate on its way to champion' },
      { name: 'versions', description: 'Immutable model versions by root digest' },
      { name: 'labels', description: 'Delayed truth' },
      { name: 'audit', description: 'Who did what' },
      { name: 'health', description: 'For load balancers and monitoring' },
    ],
    components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
  },
  refResolver: {
    buildLocalReference: (json, _base, _fragment, index) =>
      typeof json['$id'] === 'string' ? json['$id'] : `schema-${index}`,
  },
  transform: ({ schema, url, route }) => {
    const { response, ...described } = schema ?? {};
    const documented = {
      ...described,
      response: { ...(response as Record<string, unknown> | undefined), default: PROBLEM_RESPONSE },
      security: route.config?.open === true ? [] : [{ token: [] }],
    };
    return { schema: documented, url };
  },
};

export async function documentRoutes(app: FastifyInstance): Promise<void> {
  app.addSchema(ProblemSchema);
  await app.register(swagger, options);
}

/** Served like any route: behind the token. */
export function openapiRoute(app: FastifyInstance): void {
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger());
}

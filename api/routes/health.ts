/** Health is open, because a load balancer has no token; so it says only whether, never why. */
import { Type } from 'typebox';

import { oneOf, strict } from '../schemas/common.ts';
import type { ApiPorts, Readiness } from '../ports.ts';
import type { ApiInstance } from './api-instance.ts';

const CHECK_TIMEOUT_MS = 2000;
const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

const tags = ['health'];
const LiveSchema = strict({ status: oneOf(['live']) });
const MetricsSchema = Type.Unsafe<string>({ type: 'string', description: 'Prometheus text format' });
const ReadySchema = strict({
  status: oneOf(['ready', 'not-ready']),
  parts: Type.Record(Type.String(), oneOf(['ready', 'not-ready'])),
});

export function healthRoutes(app: ApiInstance, { readiness, metrics }: ApiPorts): void {
  app.get(
    '/health/live',
    {
      config: { open: true },
      logLevel: 'warn',
      schema: { operationId: 'live', summary: 'The process answers', tags, response: { 200: LiveSchema } },
    },
    async () => ({ status: 'live' as const }),
  );

  app.get(
    '/health/ready',
    {
      config: { open: true },
      logLevel: 'warn',
      schema: {
        operationId: 'ready',
        summary: 'The database and Temporal answer too; 503 when one does not',
        tags,
        response: { 200: ReadySchema, 503: ReadySchema },
      },
    },
    async (request, reply) => {
      const answers = await Promise.all(
        readiness.map(async (part) => {
          const failure = await failureOf(part);
          if (failure !== undefined)
            request.log.warn({ part: part.name, err: failure }, 'a part is not ready');
          return [part.name, failure === undefined ? 'ready' : 'not-ready'] as const;
        }),
      );
      const ready = answers.every(([, state]) => state === 'ready');
      return reply
        .code(ready ? 200 : 503)
        .send({ status: ready ? 'ready' : 'not-ready', parts: Object.fromEntries(answers) });
    },
  );

  app.get(
    '/metrics',
    {
      logLevel: 'warn',
      schema: {
        operationId: 'metrics',
        summary: 'Prometheus metrics of this process',
        tags,
        response: { 200: MetricsSchema },
      },
    },
    async (_request, reply) =>
      reply
        .type(METRICS_CONTENT_TYPE)
        .serializer(String)
        .send(await metrics()),
  );
}

/** A part that hangs is not ready either. */
async function failureOf({ check }: Readiness): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${CHECK_TIMEOUT_MS} ms`)), CHECK_TIMEOUT_MS);
  });
  try {
    await Promise.race([check(), late]);
    return undefined;
  } catch (error) {
    return error;
  } finally {
    clearTimeout(timer);
  }
}

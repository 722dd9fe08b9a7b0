import { AuditListSchema, AuditQuery, AuditVerdictSchema } from '../schemas/audit.ts';
import type { ApiPorts } from '../ports.ts';
import type { ApiInstance } from './api-instance.ts';

const tags = ['audit'];

export function auditRoutes(app: ApiInstance, { audit }: ApiPorts): void {
  app.get(
    '/v1/audit',
    {
      schema: {
        operationId: 'listAudit',
        summary: 'Who did what in a stream (a model, or system), newest first',
        tags,
        querystring: AuditQuery,
        response: { 200: AuditListSchema },
      },
    },
    async ({ query: { stream = 'system', limit = 100, before } }) => ({
      rows: await audit.list({ stream, limit, ...(before === undefined ? {} : { before }) }),
    }),
  );

  app.get(
    '/v1/audit/verify',
    {
      schema: {
        operationId: 'verifyAudit',
        summary: 'Computes every hash chain and checkpoint again; names the first bad row',
        tags,
        response: { 200: AuditVerdictSchema },
      },
    },
    async () => {
      const { ok, broken, ...counts } = await audit.verify();
      return { intact: ok, ...counts, firstBad: broken[0] ?? null, broken };
    },
  );
}

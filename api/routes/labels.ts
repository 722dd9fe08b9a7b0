import { LabelsBody, LabelsSchema } from '../schemas/label.ts';
import type { ApiPorts } from '../ports.ts';
import type { ApiInstance } from './api-instance.ts';

export function labelRoutes(app: ApiInstance, { labels }: ApiPorts): void {
  app.post(
    '/v1/labels',
    {
      schema: {
        operationId: 'recordLabels',
        summary:
          'What predictions should have been; they may arrive late, again, and before the prediction is stored',
        tags: ['labels'],
        body: LabelsBody,
        response: { 200: LabelsSchema },
      },
    },
    async ({ body }) => {
      const rows = body.labels.map(({ predictionId, label, observedAt }) => ({
        predictionId,
        label,
        observedAtMs: Date.parse(observedAt),
      }));
      return labels.addLabels(rows);
    },
  );
}

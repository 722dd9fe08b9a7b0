/** Delayed labels on the wire: what a prediction should have been, joined by prediction id. */
import { Type } from 'typebox';

import type { LabelReceipt } from '../ports.ts';
import { Instant, strict } from './common.ts';

export const MAX_LABELS = 10_000;

export const LabelsBody = strict({
  labels: Type.Array(
    strict({
      predictionId: Type.String({ minLength: 1, maxLength: 128, pattern: '^[\\x21-\\x7e]+$' }),
      label: Type.Integer({ minimum: 0, maximum: 1, description: 'the true class' }),
      observedAt: Instant,
    }),
    { minItems: 1, maxItems: MAX_LABELS },
  ),
});

export const LabelsSchema = Type.Unsafe<LabelReceipt>(
  strict({
    accepted: Type.Integer({ description: 'stored, and joined to a prediction' }),
    unknown: Type.Integer({ description: 'stored, to be joined when the prediction arrives' }),
    duplicates: Type.Integer({ description: 'the same label was there already' }),
    conflicting: Type.Integer({ description: 'another label was there already; the first one stands' }),
  }),
);

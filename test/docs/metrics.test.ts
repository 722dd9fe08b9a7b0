import { strict as assert } from 'node:assert';
import { describe, it } from 'mocha';

import type { MetricRow } from '../../platform/telemetry/index.ts';
import { GATEWAY_METRICS } from '../../serving/telemetry/gateway-metrics.ts';
import { documentedMetrics } from './documented-metrics.ts';

describe('the reference of metrics', () => {
  it('lists exactly the metrics of the gateway, with kind and labels', () => {
    const rows: readonly MetricRow[] = Object.values(GATEWAY_METRICS);
    const made = rows.map(({ name, kind, labels }) => ({
      name: kind === 'counter' ? `${name}_total` : name,
      kind,
      labels: [...labels],
      process: 'gateway',
    }));
    const inOrder = (a: { name: string }, b: { name: string }): number => a.name.localeCompare(b.name);
    const documented = documentedMetrics().filter(({ process }) => process === 'gateway');
    assert.deepEqual(documented.toSorted(inOrder), made.toSorted(inOrder));
  });
});

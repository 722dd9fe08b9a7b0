/** The rows of `docs/reference/metrics.md`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../platform/root.ts';

export const METRIC_NAME = /\bslipway_(?:gateway|api|rollout)_[a-z_]+/g;

export interface DocumentedMetric {
  readonly name: string;
  readonly kind: string;
  readonly labels: readonly string[];
  readonly process: string;
}

export function documentedMetrics(): readonly DocumentedMetric[] {
  const text = readFileSync(join(projectRoot(), 'docs/reference/metrics.md'), 'utf8');
  return [...text.matchAll(/^\| `(slipway_[a-z_]+)` +\| (\w+) +\| (.+?) +\| (\w+) +\|/gm)].map(
    ([, name = '', kind = '', labels = '', process = '']) => ({
      name,
      kind,
      labels: labels === '–' ? [] : labels.split(', '),
      process,
    }),
  );
}

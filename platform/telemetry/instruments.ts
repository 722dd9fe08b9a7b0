/**
 * Metrics as a table: one row says name, kind, labels and meaning, and the instruments are made from it, so that
 * `docs/reference/metrics.md` can be held against the rows by a test.
 */
import type { HotHistogram, HotHistograms } from './hot-histogram.ts';
import type { Counter, Gauge, Histogram, Meter, Observable } from '@opentelemetry/api';

export interface MetricRow {
  /** As Prometheus shows it; a counter gets `_total` there. */
  readonly name: string;
  readonly kind: 'counter' | 'gauge' | 'histogram';
  readonly labels: readonly string[];
  readonly meaning: string;
  /** Read when somebody asks, from numbers that are kept anyway. */
  readonly observed?: true;
  /** Recorded with every request or run: a `HotHistogram`. */
  readonly hot?: true;
  /** Upper bounds of a histogram. */
  readonly buckets?: readonly number[];
}

interface ByKind {
  readonly counter: Counter;
  readonly gauge: Gauge;
  readonly histogram: Histogram;
}

export type Instruments<T extends Readonly<Record<string, MetricRow>>> = {
  readonly [K in keyof T]: T[K] extends { readonly observed: true }
    ? Observable
    : T[K] extends { readonly hot: true }
      ? HotHistogram
      : ByKind[T[K]['kind']];
};

export function createInstruments<const T extends Readonly<Record<string, MetricRow>>>(
  meter: Meter,
  histograms: HotHistograms,
  table: T,
): Instruments<T> {
  const rows: [string, MetricRow][] = Object.entries(table);
  const made = rows.map(([key, row]) => [key, row.hot ? histograms.create(row) : create(meter, row)]);
  return Object.fromEntries(made) as Instruments<T>;
}

function create(meter: Meter, row: MetricRow): Counter | Gauge | Histogram | Observable {
  const { name, kind, meaning: description, buckets, observed } = row;
  switch (kind) {
    case 'counter':
      return observed
        ? meter.createObservableCounter(name, { description })
        : meter.createCounter(name, { description });
    case 'gauge':
      return observed
        ? meter.createObservableGauge(name, { description })
        : meter.createGauge(name, { description });
    case 'histogram':
      return meter.createHistogram(name, {
        description,
        ...(name.endsWith('_seconds') && { unit: 's' }),
        ...(buckets !== undefined && { advice: { explicitBucketBoundaries: [...buckets] } }),
      });
  }
}

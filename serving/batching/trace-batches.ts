/** Gives each run of a version a span of its own, linked to the recorded requests whose rows are in it. */
import type { GatewayTracer, InferenceSpan } from '../tracing.ts';
import type { BatchObserver } from './batch-observer.ts';

export function traceBatches(
  observer: BatchObserver,
  tracer: GatewayTracer,
  endpoint: string,
  version: string,
): BatchObserver {
  return {
    ...observer,
    traced(tickets, rows) {
      // Nearly no request is recorded: without one, a run costs one comparison for each of its requests.
      let spans: InferenceSpan[] | null = null;
      for (const { span } of tickets) if (span !== undefined) (spans ??= []).push(span);
      return spans === null ? null : tracer.batch(spans, endpoint, version, rows);
    },
  };
}

/** What one version's batcher tells about its work; bound to the version once, not with each call. */
import type { Placement } from '../metrics.ts';
import type { BatchSpan } from '../tracing.ts';
import type { RunTicket } from './run-ticket.ts';

/**
 * Why a batch was not larger. `idle`: one request, which found the model free. `drained`: nothing else waited.
 * `full`: the largest size. `slice`: more rows would have taken longer than a run may.
 */
export type DispatchReason = 'idle' | 'drained' | 'full' | 'slice';

export interface BatchObserver {
  /** A run has ended. `waitedMs` is that of its oldest request. */
  dispatched(
    reason: DispatchReason,
    batch: {
      readonly rows: number;
      readonly requests: number;
      readonly runMs: number;
      readonly waitedMs: number;
      readonly placement: Placement;
      readonly ok: boolean;
    },
  ): void;
  /** A request left without a result of the model. */
  dropped(why: 'expired' | 'cancelled'): void;
  /** The requests of a batch that failed were run one by one; `failed` of them fail by themselves. */
  isolated(requests: number, failed: number): void;
  /** The model runs somewhere else from now on. */
  moved?(to: Placement): void;
  /** A thread was replaced by a fresh one. */
  recycled?(): void;
  /** A run starts; null when none of its requests is traced. The batcher ends the span. */
  traced?(tickets: readonly RunTicket[], rows: number): BatchSpan | null;
}

export const NO_BATCH_OBSERVER: BatchObserver = {
  dispatched() {},
  dropped() {},
  isolated() {},
};

/** What the rest of the gateway sees of a loaded model version. */
import type { Placement } from '../metrics.ts';
import type { ModelOutput } from '../models/model-session.ts';
import type { ModelStatistics } from '../statistics.ts';
import type { CostModel } from './cost-model.ts';
import type { RunTicket } from './run-ticket.ts';

export interface BatchedModel {
  readonly placement: Placement;
  readonly statistics: ModelStatistics;
  readonly cost: CostModel;
  /** Largest difference of scores of the same rows in batches of different sizes, measured when it was loaded. */
  readonly noiseFloor: number;
  readonly waitingRows: number;
  readonly waitingRequests: number;
  /** Milliseconds until `rows` more rows would be answered if they came now. */
  predictMs(rows: number): number;
  /**
   * The array belongs to the batcher from then on.
   * @throws SlipwayError `INFERENCE_FAILED`, `DEADLINE_EXCEEDED` (of the ticket) or `CALLER_GONE` (it was cancelled)
   */
  run(features: Float32Array, rows: number, ticket?: RunTicket): Promise<ModelOutput>;
  /** No new requests come. Answers those that wait, frees the model and resolves then. */
  retire(): Promise<void>;
}

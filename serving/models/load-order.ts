/** What is said between the gateway and the thread that loads a model. Everything here can be cloned or transferred. */
import type { ErrorCode } from '../../domain/errors.ts';
import type { CostSample } from '../batching/cost-model.ts';
import type { Digest } from '../../domain/routing/route.ts';
import type { VersionDescriptor } from '../../domain/registry/index.ts';
import type { GoldenRows } from './golden-rows.ts';

export interface LoadOrder {
  readonly descriptor: VersionDescriptor;
  /** One row that the endpoint's contract allows, for the warm-up. */
  readonly sampleRow: Float32Array;
  /** Rows spread over what the contract allows, one after the other. */
  readonly sampleRows: Float32Array;
  readonly revokedDigests: readonly Digest[];
  readonly revokedKeyIds: readonly string[];
  readonly blobRoot: string;
  readonly trustedKeysFolder: string;
  /** Unix milliseconds. */
  readonly now: number;
  /** Keep the model in the thread whatever it costs: it must not be able to hold up the event loop. */
  readonly isolate: boolean;
  /** The model is to run in another server: only say what it answers to the sample rows. */
  readonly remote: boolean;
  readonly limits: PlacementLimits;
}

/** A model dearer than these stays in its thread. */
export interface PlacementLimits {
  /** Creating the session on the event loop would stop all answers for about this long. */
  readonly inlineCreateMs: number;
  /** Of a typical batch, `TYPICAL_ROWS`: below this, the way to a thread and back would cost more than the run. */
  readonly inlineRunMs: number;
}

export interface Cost {
  readonly createMs: number;
  /** A typical batch, warm. */
  readonly runMs: number;
  /** Runs of several sizes, from which the cost model starts. */
  readonly samples: readonly CostSample[];
  /** Largest difference of scores of the same rows in batches of different sizes. */
  readonly noiseFloor: number;
}

export const TYPICAL_ROWS = 8;

export type LoadResult =
  /** `model`: the verified bytes, when the session is to be created on the event loop; else the thread keeps it. */
  | { readonly kind: 'loaded'; readonly cost: Cost; readonly model: Uint8Array | null }
  | { readonly kind: 'golden'; readonly golden: GoldenRows }
  | {
      readonly kind: 'refused';
      readonly code: ErrorCode;
      readonly message: string;
      readonly internal: string | undefined;
    };

/** What the thread is told once it has kept its model; done in order. */
export type ThreadOrder = RunOrder | { readonly kind: 'end' };

export interface RunOrder {
  readonly kind: 'run';
  readonly id: number;
  readonly features: Float32Array;
  readonly rows: number;
}

export type RunResult =
  | {
      readonly kind: 'ran';
      readonly id: number;
      readonly labels: BigInt64Array;
      readonly scores: Float32Array;
      /** In the thread. */
      readonly runMs: number;
    }
  | { readonly kind: 'failed'; readonly id: number; readonly internal: string };

/** What is said between the gateway and the thread that loads a model. Everything here can be cloned or transferred. */
import type { ErrorCode } from '../../domain/errors.ts';
import type { Digest } from '../../domain/routing/route.ts';
import type { VersionDescriptor } from '../../domain/registry/index.ts';

export interface LoadOrder {
  readonly descriptor: VersionDescriptor;
  /** One row that the endpoint's contract allows, for the warm-up. */
  readonly sampleRow: Float32Array;
  readonly revokedDigests: readonly Digest[];
  readonly revokedKeyIds: readonly string[];
  readonly blobRoot: string;
  readonly trustedKeysFolder: string;
  /** Unix milliseconds. */
  readonly now: number;
  /** Keep the model in the thread whatever it costs: it must not be able to hold up the event loop. */
  readonly isolate: boolean;
  readonly limits: PlacementLimits;
}

/** A model dearer than these stays in its thread. */
export interface PlacementLimits {
  /** Creating the session on the event loop would stop all answers for about this long. */
  readonly inlineCreateMs: number;
  readonly inlineRunMs: number;
}

export interface Cost {
  readonly createMs: number;
  /** One row, warm. */
  readonly runMs: number;
}

export type LoadResult =
  /** `model`: the verified bytes, when the session is to be created on the event loop; else the thread keeps it. */
  | { readonly kind: 'loaded'; readonly cost: Cost; readonly model: Uint8Array | null }
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
    }
  | { readonly kind: 'failed'; readonly id: number; readonly internal: string };

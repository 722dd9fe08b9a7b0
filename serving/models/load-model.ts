/** Starts a loading thread and turns its result into a session: on the event loop when the model is cheap. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { SlipwayError } from '../../domain/errors.ts';
import type { FeatureSpec } from '../../domain/manifest/model-manifest.ts';
import type { VersionDescriptor } from '../../domain/registry/index.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Revocations } from '../ports.ts';
import { createInlineSession } from './inline-session.ts';
import type { LoadOrder, LoadResult, PlacementLimits } from './load-order.ts';
import type { ModelSession } from './model-session.ts';
import { WorkerSession } from './worker-session.ts';

export interface LoadRequest {
  readonly descriptor: VersionDescriptor;
  readonly features: readonly FeatureSpec[];
  readonly revocations: Revocations;
  /**
   * True for a version that is not the champion: until it is proven, it runs where it cannot hold up the champion's
   * answers, whatever it does.
   */
  readonly isolate: boolean;
  readonly onLost: () => void;
}

export interface LoadedModel {
  readonly session: ModelSession;
  /** Whether it could run on the event loop. */
  readonly cheap: boolean;
}

/** @throws SlipwayError with the code and message that the version is refused with. */
export type LoadModel = (request: LoadRequest) => Promise<LoadedModel>;

export interface LoaderOptions {
  readonly blobRoot: string;
  /** Every `*.pem` in it is a public key that may sign; read at each load. */
  readonly trustedKeysFolder: string;
  readonly limits: PlacementLimits;
  readonly runTimeoutMs: number;
  readonly clock: Clock;
}

export function createModelLoader({ limits, runTimeoutMs, clock, ...places }: LoaderOptions): LoadModel {
  return async ({ descriptor, features, revocations, isolate, onLost }) => {
    const sampleRow = Float32Array.from(features, ({ min, max }) =>
      Math.min(Math.max(0, min ?? 0), max ?? Infinity),
    );
    const order: LoadOrder = {
      descriptor,
      sampleRow,
      revokedDigests: revocations.digests,
      revokedKeyIds: revocations.keyIds,
      ...places,
      now: clock.now(),
      isolate,
      limits,
    };
    const worker = new Worker(new URL('./model-thread.js', import.meta.url), { workerData: order });
    const exited = new Promise((resolve) => worker.once('exit', resolve));
    const result = await firstMessage(worker);
    // Until the thread has left native code, the process must not exit.
    if (result.kind === 'refused' || result.model !== null) await exited;
    if (result.kind === 'refused') {
      throw new SlipwayError(result.code, result.message, { internal: result.internal ?? '' });
    }
    const { createMs, runMs } = result.cost;
    const cheap = createMs <= limits.inlineCreateMs && runMs <= limits.inlineRunMs;
    if (result.model === null) return { session: new WorkerSession(worker, { runTimeoutMs, onLost }), cheap };
    return { session: await createInlineSession(result.model, sampleRow), cheap };
  };
}

async function firstMessage(worker: Worker): Promise<LoadResult> {
  const ended = new AbortController();
  worker.once('exit', () => ended.abort());
  // A thread that dies is reported by its exit; without a listener here the error would end the process.
  worker.on('error', () => {});
  try {
    const [result] = (await once(worker, 'message', { signal: ended.signal })) as [LoadResult];
    return result;
  } catch (error) {
    // An error of the thread itself, such as running out of memory: it ends, the gateway goes on.
    throw new SlipwayError('MODEL_LOAD_FAILED', 'the thread that loaded the model ended unexpectedly', {
      internal: String(error),
      cause: error,
    });
  }
}

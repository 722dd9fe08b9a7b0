/** Starts a loading thread and turns its result into a session: on the event loop when the model is cheap. */
import { availableParallelism } from 'node:os';
import type { CostSample } from '../batching/cost-model.ts';
import { SlipwayError } from '../../domain/errors.ts';
import type { FeatureSpec } from '../../domain/manifest/model-manifest.ts';
import { SERVING_DEFAULTS } from '../../domain/manifest/serving-spec.ts';
import type { ServingSpec } from '../../domain/manifest/serving-spec.ts';
import type { VersionDescriptor } from '../../domain/registry/index.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Revocations } from '../ports.ts';
import { createInlineSession } from './inline-session.ts';
import type { Cost, PlacementLimits } from './load-order.ts';
import { runLoadingThread } from './loading-thread.ts';
import { DEFAULT_REMOTE_SETTINGS, loadRemote } from './load-remote.ts';
import type { RemoteOrder, RemoteSettings } from './load-remote.ts';
import type { ModelSession } from './model-session.ts';
import { sampleRow } from './sample-rows.ts';
import { DEFAULT_GROWTH_LIMITS, ProcessGrowth, WorkerPool } from './worker-pool.ts';
import type { GrowthLimits } from './worker-pool.ts';
import { WorkerSession } from './worker-session.ts';

export interface LoadRequest {
  readonly descriptor: VersionDescriptor;
  readonly features: readonly FeatureSpec[];
  /** Where it runs, and how large its batches are; left out, it runs here. */
  readonly serving?: Pick<ServingSpec, 'backend' | 'maxBatchRows'>;
  readonly revocations: Revocations;
  /**
   * True for a version that is not the champion: until it is proven, it runs where it cannot hold up the champion's
   * answers, whatever it does.
   */
  readonly isolate: boolean;
  readonly onLost: (reason: string) => void;
  /** A further thread could not be started, or an old one not be replaced; those that run go on. */
  readonly onProblem?: (error: unknown) => void;
  readonly onRecycled?: () => void;
}

export interface LoadedModel {
  readonly session: ModelSession;
  /** Whether it could run on the event loop. */
  readonly cheap: boolean;
  /** Whether creating it there would stop the event loop for less than a caller would notice. */
  readonly quickToCreate: boolean;
  readonly samples: readonly CostSample[];
  readonly noiseFloor: number;
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
  /** Threads for one version at most; one core is left to the event loop. */
  readonly maxWorkers?: number;
  readonly recycle?: GrowthLimits;
  readonly rssBytes?: () => number;
  readonly remote?: Partial<RemoteSettings>;
}

type RemoteServing = Pick<RemoteOrder, 'backend' | 'maxBatchRows'>;

interface Loaded {
  readonly cost: Cost;
  /** The thread, when it has kept the model; else the model, to be created on the event loop. */
  readonly worker: WorkerSession | null;
  readonly model: Uint8Array | null;
}

export function createModelLoader(options: LoaderOptions): LoadModel {
  const { limits, runTimeoutMs, clock } = options;
  const { maxWorkers = Math.max(1, availableParallelism() - 1), recycle = DEFAULT_GROWTH_LIMITS } = options;
  const growth = new ProcessGrowth(recycle, options.rssBytes ?? (() => process.memoryUsage.rss()));

  const start = async (request: LoadRequest, isolate: boolean, onLost: () => void): Promise<Loaded> => {
    const { worker, result } = await runLoadingThread(options, request, { isolate, remote: false });
    if (result.kind !== 'loaded') throw new SlipwayError('INTERNAL', 'a thread did not load its model');
    const { cost, model } = result;
    return {
      cost,
      model,
      worker: model === null ? new WorkerSession(worker, { runTimeoutMs, onLost }) : null,
    };
  };

  const pool = (first: WorkerSession, request: LoadRequest): WorkerPool =>
    new WorkerPool(first, {
      maxWorkers,
      growth,
      clock,
      onLost: () => request.onLost('its last thread ended'),
      onProblem: request.onProblem ?? (() => {}),
      onRecycled: request.onRecycled ?? (() => {}),
      spawn: async (onLost) => {
        const { worker } = await start(request, true, onLost);
        if (worker === null) throw new SlipwayError('INTERNAL', 'an isolated thread did not keep its model');
        return worker;
      },
    });

  const startRemote = async (request: LoadRequest, serving: RemoteServing): Promise<LoadedModel> => {
    const { result } = await runLoadingThread(options, request, { isolate: true, remote: true });
    if (result.kind !== 'golden')
      throw new SlipwayError('INTERNAL', 'a thread did not answer the sample rows');
    return loadRemote({
      ...serving,
      digest: request.descriptor.digest,
      golden: result.golden,
      runTimeoutMs,
      settings: { ...DEFAULT_REMOTE_SETTINGS, ...options.remote },
      onLost: request.onLost,
    });
  };

  return async (request) => {
    const { backend, maxBatchRows } = request.serving ?? SERVING_DEFAULTS;
    if (backend.kind === 'remote') return startRemote(request, { backend, maxBatchRows });
    let ended = false;
    let lost = (): void => {
      ended = true;
    };
    const { cost, worker, model } = await start(request, request.isolate, () => lost());
    growth.swaps += 1;
    const { createMs, runMs, samples, noiseFloor } = cost;
    const quickToCreate = createMs <= limits.inlineCreateMs;
    const facts = { cheap: quickToCreate && runMs <= limits.inlineRunMs, quickToCreate, samples, noiseFloor };
    if (worker !== null) {
      const session = pool(worker, request);
      lost = () => session.lost(worker);
      if (ended) lost();
      return { session, ...facts };
    }
    if (model === null)
      throw new SlipwayError('INTERNAL', 'a thread has neither kept nor returned its model');
    return { session: await createInlineSession(model, sampleRow(request.features)), ...facts };
  };
}

/** The answer of the V2 statistics extension (Triton, `extension_statistics.md`). Durations are nanoseconds. */
import type { Digest } from '../../domain/routing/route.ts';
import type { DurationCount, ModelStatistics } from '../statistics.ts';

export interface VersionStatistics {
  readonly model: string;
  readonly version: Digest;
  readonly statistics: ModelStatistics;
}

/** What the gateway has to offer of an endpoint; `ServedEndpoint` is one. */
export interface StatisticsSource {
  readonly name: string;
  readyVersions(): readonly Digest[];
  /** Null for a version that is not loaded. */
  statistics(version: Digest): ModelStatistics | null;
}

/** Of one version, or of all that are loaded. */
export function versionStatistics(source: StatisticsSource, version: Digest | null): VersionStatistics[] {
  const versions = version === null ? source.readyVersions() : [version];
  return versions.flatMap((digest) => {
    const statistics = source.statistics(digest);
    return statistics === null ? [] : [{ model: source.name, version: digest, statistics }];
  });
}

export function statisticsDocument(versions: readonly VersionStatistics[]): object {
  return { model_stats: versions.map(modelStats) };
}

/** There is no response cache, no streaming and no memory kept apart for a model: zeros and empty, as of a Triton without. */
function modelStats({ model, version, statistics }: VersionStatistics): object {
  return {
    name: model,
    version,
    last_inference: Math.round(statistics.lastInferenceMs),
    inference_count: statistics.inferenceCount,
    execution_count: statistics.executionCount,
    inference_stats: {
      success: duration(statistics.success),
      fail: duration(statistics.fail),
      queue: duration(statistics.queue),
      compute_input: duration(statistics.computeInput),
      compute_infer: duration(statistics.computeInfer),
      compute_output: duration(statistics.computeOutput),
      cache_hit: { count: 0, ns: 0 },
      cache_miss: { count: 0, ns: 0 },
    },
    response_stats: {},
    batch_stats: statistics.batches.map(([rows, { count, inputNs, inferNs, outputNs }]) => ({
      batch_size: rows,
      compute_input: duration({ count, ns: inputNs }),
      compute_infer: duration({ count, ns: inferNs }),
      compute_output: duration({ count, ns: outputNs }),
    })),
    memory_usage: [],
  };
}

/** Clients read whole numbers (uint64). */
function duration({ count, ns }: DurationCount): DurationCount {
  return { count, ns: Math.round(ns) };
}

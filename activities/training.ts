/** Data and training: a dataset snapshot by digest, and one trainer run by the digest of everything that goes in. */
import type { ModelManifest } from '../domain/manifest/model-manifest.ts';
import type { FileEntry } from '../domain/registry/model-version.ts';
import type { ReleaseParameters } from '../domain/release/release.ts';
import type { ReleaseStore } from './ports.ts';
import { beating } from './beating.ts';
import type { ActivityPulse } from './traffic.ts';
import type {
  DatasetSnapshot,
  DatasetStore,
  Trainers,
  TrainingCache,
  TrainingJob,
  TrainingProgress,
} from './training-ports.ts';

export interface TrainingInput {
  readonly releaseId: string;
  readonly manifest: ModelManifest;
  readonly dataset: DatasetSnapshot;
}

export interface TrainingOutcome {
  readonly job: TrainingJob;
  readonly files: readonly FileEntry[];
  readonly cached: boolean;
}

export interface TrainingDependencies {
  readonly releases: ReleaseStore;
  readonly datasets: DatasetStore;
  readonly trainers: Trainers;
  readonly cache: TrainingCache;
  readonly pulse: () => ActivityPulse;
}

export function createTrainingActivities({
  releases,
  datasets,
  trainers,
  cache,
  pulse,
}: TrainingDependencies) {
  const parametersOf = async (releaseId: string): Promise<ReleaseParameters> =>
    (await releases.get(releaseId)).parameters;
  return {
    async snapshotDataset(input: Pick<TrainingInput, 'releaseId' | 'manifest'>): Promise<DatasetSnapshot> {
      return beating(pulse(), async () =>
        datasets.snapshot(input.manifest, await parametersOf(input.releaseId)),
      );
    },

    /** Heartbeats carry the progress; a retry after a lost worker resumes from the job's last checkpoint. */
    async runTraining({ releaseId, manifest, dataset }: TrainingInput): Promise<TrainingOutcome> {
      const { signal, beat } = pulse();
      let progress: TrainingProgress = { fraction: 0, message: 'preparing' };
      const tell = (): void => beat(progress);
      return beating({ signal, beat: tell }, async () => {
        const job = await trainers.describe(manifest, await parametersOf(releaseId), dataset.digest);
        const known = await cache.find(job.digest);
        if (known !== null) return { job, files: known, cached: true };
        const onProgress = (next: TrainingProgress): void => {
          progress = next;
          tell();
        };
        const files = await trainers.run(job, onProgress, signal);
        await cache.save(job.digest, files);
        return { job, files, cached: false };
      });
    },
  };
}

export type TrainingActivities = ReturnType<typeof createTrainingActivities>;

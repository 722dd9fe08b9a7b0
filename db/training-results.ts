/** What training jobs gave, so that the same job is never run twice. */
import { eq } from 'drizzle-orm';
import type { TrainingCache } from '../activities/training-ports.ts';
import type { Database } from './database.ts';
import { trainingResults } from './schema/registry.ts';
import { asStored } from './stored-value.ts';

export function createTrainingCache(db: Database): TrainingCache {
  return {
    async find(jobDigest) {
      const [row] = await db.read((orm) =>
        orm
          .select({ files: trainingResults.files })
          .from(trainingResults)
          .where(eq(trainingResults.jobDigest, jobDigest)),
      );
      return row?.files ?? null;
    },
    // The first result stands: two runs of one job that differ would otherwise change what a version was made from.
    save: (jobDigest, files) =>
      db.read(async (orm) => {
        await orm
          .insert(trainingResults)
          .values({ jobDigest, files: asStored(files) })
          .onConflictDoNothing();
      }),
  };
}

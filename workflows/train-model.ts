/** `trainModel`: one candidate's artifacts from one dataset snapshot, found in the cache or trained. */
import { setCurrentDetails } from '@temporalio/workflow';
import type { TrainingInput, TrainingOutcome } from '../activities/training.ts';
import { training } from './activity-options.ts';

export async function trainModel(input: TrainingInput): Promise<TrainingOutcome> {
  setCurrentDetails(`Training **${input.releaseId}** on dataset \`${input.dataset.digest}\``);
  const outcome = await training.runTraining.executeWithOptions({ summary: `train ${input.releaseId}` }, [
    input,
  ]);
  setCurrentDetails(
    outcome.cached
      ? `Same code, data, parameters, environment and seed as before: job \`${outcome.job.digest}\` was taken from the cache.`
      : `Trained job \`${outcome.job.digest}\`.`,
  );
  return outcome;
}

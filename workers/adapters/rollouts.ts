/** Asks Temporal who lives and who owns a rollout. */
import { WorkflowNotFoundError } from '@temporalio/client';
import type { Client } from '@temporalio/client';
import type { OwnerLiveness } from '../../activities/observe.ts';
import type { RolloutOwnership } from '../../activities/rollout-ownership.ts';
import { SlipwayError } from '../../domain/errors.ts';
import type { Logger } from '../../platform/telemetry/logger.ts';
import type { ExperimentName } from '../../activities/experiment-ports.ts';
import { experimentWorkflowId, rolloutWorkflowId } from '../../workflows/messages.ts';

/** Well inside a quarter of the shortest lease (5 s), which is how often the lease is renewed. */
const ANSWER_MS = 1000;

export function createOwnerLiveness(client: Client, logger: Logger): OwnerLiveness {
  return {
    /** "Cannot be asked" counts as "not running": without an answer the lease is not renewed. */
    async isRunning(workflowId, runId) {
      try {
        const description = await client.connection.withDeadline(Date.now() + ANSWER_MS, () =>
          client.workflow.getHandle(workflowId, runId).describe(),
        );
        return description.status.name === 'RUNNING';
      } catch (error) {
        if (!(error instanceof WorkflowNotFoundError)) {
          logger.warn(
            { workflowId, error: String(error) },
            'Temporal does not answer: the lease is not renewed',
          );
        }
        return false;
      }
    },
  };
}

export function createRolloutOwnership(client: Client): RolloutOwnership {
  const handleOf = (endpoint: string) => client.workflow.getHandle(rolloutWorkflowId(endpoint));
  return {
    async isRunning(workflowId, runId) {
      try {
        const { status } = await client.workflow.getHandle(workflowId, runId).describe();
        return status.name === 'RUNNING';
      } catch (error) {
        if (error instanceof WorkflowNotFoundError) return false;
        throw new SlipwayError('UNAVAILABLE', 'Temporal does not answer', { cause: error });
      }
    },
    async owner(endpoint) {
      try {
        const description = await handleOf(endpoint).describe();
        if (description.status.name !== 'RUNNING') return null;
        // A rollout's parent is the release whose workflow id is `release/<id>`.
        return description.parentExecution?.workflowId?.replace(/^release\//, '') ?? 'unknown';
      } catch (error) {
        if (error instanceof WorkflowNotFoundError) return null;
        throw error;
      }
    },
    async cancel(endpoint) {
      const { status, runId } = await handleOf(endpoint).describe();
      if (status.name !== 'RUNNING') return;
      const run = client.workflow.getHandle(rolloutWorkflowId(endpoint), runId);
      await run.cancel();
      // Its result is a cancellation, which is what was asked for; only its end matters here.
      await run.result().catch((error: unknown) => {
        if (error instanceof Error && error.name === 'WorkflowFailedError') return;
        throw error;
      });
    },
  };
}

/** @throws UNAVAILABLE when Temporal does not answer */
export async function isExperimentRunning(
  client: Client,
  { endpoint, name }: ExperimentName,
): Promise<boolean> {
  try {
    const { status } = await client.workflow.getHandle(experimentWorkflowId(endpoint, name)).describe();
    return status.name === 'RUNNING';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw new SlipwayError('UNAVAILABLE', 'Temporal does not answer', { cause: error });
  }
}

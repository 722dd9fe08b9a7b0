/** Starting and stopping experiments. Both answer when gateways have done it, so that a command that returned is true. */
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import type { Client } from '@temporalio/client';

import { SlipwayError } from '../domain/errors.ts';
import type { ExperimentInput, ExperimentResult } from '../workflows/messages.ts';
import {
  awaitExperimentUpdate,
  experimentWorkflowId,
  SEARCH_ATTRIBUTES,
  stopExperimentUpdate,
  TASK_QUEUES,
} from '../workflows/messages.ts';
import type { ExperimentRuns } from './experiment-ports.ts';
import { domainError } from './temporal-releases.ts';

/** Gateways may have to load each arm. */
const START_TIMEOUT_MS = 90_000;
const STOP_TIMEOUT_MS = 30_000;

export function createTemporalExperiments(client: Client): ExperimentRuns {
  const within = async <T>(timeoutMs: number, what: string, call: () => Promise<T>): Promise<T> => {
    try {
      return await client.withDeadline(Date.now() + timeoutMs, call);
    } catch (error) {
      throw domainError(error, what);
    }
  };
  return {
    start: (input) => within(START_TIMEOUT_MS, 'starting the experiment', () => start(client, input)),

    stop: ({ endpoint, name }, request) =>
      within(STOP_TIMEOUT_MS, 'stopping the experiment', () =>
        client.workflow
          .getHandle(experimentWorkflowId(endpoint, name))
          .executeUpdate(stopExperimentUpdate, { args: [request] }),
      ),
  };
}

async function start(client: Client, input: ExperimentInput): ReturnType<ExperimentRuns['start']> {
  const { endpoint, name, actor } = input;
  try {
    const handle = await client.workflow.start<(input: ExperimentInput) => Promise<ExperimentResult>>(
      'runExperiment',
      {
        workflowId: experimentWorkflowId(endpoint, name),
        taskQueue: TASK_QUEUES.control,
        args: [input],
        workflowIdReusePolicy: 'ALLOW_DUPLICATE',
        workflowIdConflictPolicy: 'FAIL',
        staticSummary: `experiment ${name} on ${endpoint}, started by ${actor}`,
        typedSearchAttributes: [
          { key: SEARCH_ATTRIBUTES.model, value: endpoint },
          { key: SEARCH_ATTRIBUTES.phase, value: 'experiment' },
        ],
      },
    );
    const begun = await handle.executeUpdate(awaitExperimentUpdate, { args: [] }).catch(() => null);
    if (begun !== null && begun.end === null) return begun;
    // It ended before it was open: its own failure says why.
    const result = await handle.result();
    throw new SlipwayError('WRONG_PHASE', `experiment ${name} ended at once: ${result.reason}`);
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    throw new SlipwayError('EXPERIMENT_RUNNING', `experiment ${name} of ${endpoint} runs already`, {
      cause: error,
    });
  }
}

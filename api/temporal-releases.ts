/**
 * The only place of the API that speaks to Temporal. Refusals of a workflow come back as the domain error that the
 * workflow named; whatever keeps Temporal from answering is UNAVAILABLE; every call has a deadline.
 */
import {
  ServiceError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
  isGrpcServiceError,
} from '@temporalio/client';
import type { Client } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';

import type { Problem } from '../domain/errors.ts';
import { SlipwayError, isErrorCode } from '../domain/errors.ts';
import type { ReleaseInput, ReleaseView, RollbackInput, RollbackResult } from '../workflows/messages.ts';
import {
  SEARCH_ATTRIBUTES,
  TASK_QUEUES,
  abortUpdate,
  approveUpdate,
  getReleaseQuery,
  pauseUpdate,
  promoteNowUpdate,
  rejectUpdate,
  releaseWorkflowId,
  resumeUpdate,
  rollbackWorkflowId,
  skipStepUpdate,
} from '../workflows/messages.ts';
import type { ReleaseCommand, ReleaseWorkflows } from './ports.ts';

/** Of the update handlers, the slowest signs and stores an approval. */
const UPDATE_TIMEOUT_MS = 20_000;
/** Starting is one write; a client that waits longer thinks that nothing happens. */
const START_TIMEOUT_MS = 5000;
/** A view is a help: without one, the stored release still says where it stands. */
const VIEW_TIMEOUT_MS = 2000;
/** A rollback takes about a second; one that has to load a version again may take tens. */
const ROLLBACK_TIMEOUT_MS = 90_000;

const DECISIONS = { approve: approveUpdate, reject: rejectUpdate } as const;
const COMMANDS = {
  pause: pauseUpdate,
  resume: resumeUpdate,
  skipStep: skipStepUpdate,
  abort: abortUpdate,
  promoteNow: promoteNowUpdate,
} as const satisfies Record<ReleaseCommand, unknown>;

/** gRPC statuses that say nothing about the request: cancelled, deadline, exhausted, no worker, unavailable. */
const TRANSIENT = new Set([1, 4, 8, 9, 14]);

export function createTemporalReleases(client: Client): ReleaseWorkflows {
  const within = async <T>(timeoutMs: number, what: string, call: () => Promise<T>): Promise<T> => {
    try {
      return await client.withDeadline(Date.now() + timeoutMs, call);
    } catch (error) {
      throw domainError(error, what);
    }
  };

  return {
    async start({ id, model, submittedBy, skipShadow }) {
      const input: ReleaseInput = { releaseId: id, model, submittedBy, skipShadow };
      await within(START_TIMEOUT_MS, 'starting the release', async () => {
        try {
          await client.workflow.start('releaseModel', {
            workflowId: releaseWorkflowId(id),
            taskQueue: TASK_QUEUES.control,
            args: [input],
            workflowIdReusePolicy: 'REJECT_DUPLICATE',
            workflowIdConflictPolicy: 'FAIL',
            staticSummary: `release ${id}, submitted by ${submittedBy}`,
            typedSearchAttributes: [
              { key: SEARCH_ATTRIBUTES.model, value: model },
              { key: SEARCH_ATTRIBUTES.phase, value: 'snapshot' },
            ],
          });
        } catch (error) {
          if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
        }
      });
    },

    decide(releaseId, decision, request, updateId) {
      const handle = client.workflow.getHandle(releaseWorkflowId(releaseId));
      return within(UPDATE_TIMEOUT_MS, decision, () =>
        handle.executeUpdate(DECISIONS[decision], { args: [request], updateId }),
      );
    },

    command(releaseId, command, request, updateId) {
      const handle = client.workflow.getHandle(releaseWorkflowId(releaseId));
      return within(UPDATE_TIMEOUT_MS, command, () =>
        handle.executeUpdate(COMMANDS[command], { args: [request], updateId }),
      );
    },

    endedFromOutside: (releaseId) =>
      within(VIEW_TIMEOUT_MS, 'looking at the release', async () => {
        try {
          const { status } = await client.workflow.getHandle(releaseWorkflowId(releaseId)).describe();
          return status.name === 'TERMINATED' || status.name === 'TIMED_OUT' ? status.name : null;
        } catch (error) {
          // Not started yet.
          if (error instanceof WorkflowNotFoundError) return null;
          throw error;
        }
      }),

    async view(releaseId): Promise<ReleaseView | null> {
      try {
        const handle = client.workflow.getHandle(releaseWorkflowId(releaseId));
        return await within(VIEW_TIMEOUT_MS, 'asking the release', () => handle.query(getReleaseQuery));
      } catch (error) {
        // Not started yet, just ended, or no worker: the stored release says what is known.
        if (error instanceof SlipwayError && error.code !== 'INTERNAL') return null;
        throw error;
      }
    },

    rollback: (input) => within(ROLLBACK_TIMEOUT_MS, 'the rollback', () => rollBack(client, input)),
  };
}

async function rollBack(client: Client, input: RollbackInput): Promise<RollbackResult> {
  const { endpoint, actor, reason } = input;
  try {
    const handle = await client.workflow.start<(input: RollbackInput) => Promise<RollbackResult>>(
      'rollbackModel',
      {
        workflowId: rollbackWorkflowId(endpoint),
        taskQueue: TASK_QUEUES.control,
        args: [input],
        workflowIdReusePolicy: 'ALLOW_DUPLICATE',
        workflowIdConflictPolicy: 'FAIL',
        staticSummary: `rollback of ${endpoint} by ${actor}: ${reason.slice(0, 150)}`,
        typedSearchAttributes: [
          { key: SEARCH_ATTRIBUTES.model, value: endpoint },
          { key: SEARCH_ATTRIBUTES.phase, value: 'rollback' },
        ],
      },
    );
    return await handle.result();
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    throw new SlipwayError(
      'ROLLOUT_IN_PROGRESS',
      `a rollback of ${endpoint} is under way already; wait for it`,
      {
        cause: error,
      },
    );
  }
}

export function domainError(error: unknown, what: string): SlipwayError {
  if (error instanceof SlipwayError) return error;
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof ApplicationFailure && isErrorCode(cause.type)) {
      return new SlipwayError(cause.type, cause.message, {
        problems: problemsIn(cause.details),
        cause: error,
      });
    }
    // The server's own word for an update that was under way when the workflow ended.
    if (cause instanceof ApplicationFailure && cause.type === 'AcceptedUpdateCompletedWorkflow')
      return ended(error);
  }
  if (error instanceof WorkflowNotFoundError) return ended(error);
  if (isUnreachable(error)) {
    return new SlipwayError(
      'UNAVAILABLE',
      `${what}: the workflow engine did not answer in time; look at the status and try again`,
      {
        internal: error instanceof Error ? error.message : String(error),
        cause: error,
      },
    );
  }
  return new SlipwayError('INTERNAL', `${what} failed; the log has the detail`, {
    internal: error instanceof Error ? error.message : String(error),
    cause: error,
  });
}

function ended(cause: unknown): SlipwayError {
  return new SlipwayError('WRONG_PHASE', 'it is not running: it has ended, or has not started yet', {
    cause,
  });
}

function isUnreachable(error: unknown): boolean {
  if (error instanceof WorkflowUpdateRPCTimeoutOrCancelledError) return true;
  const cause = error instanceof ServiceError ? error.cause : error;
  return isGrpcServiceError(cause) && TRANSIENT.has(cause.code);
}

function problemsIn(details: readonly unknown[] | null | undefined): readonly Problem[] {
  const [first] = details ?? [];
  if (!Array.isArray(first)) return [];
  return first.filter(
    (item): item is Problem =>
      typeof item === 'object' &&
      item !== null &&
      typeof item.path === 'string' &&
      typeof item.reason === 'string',
  );
}

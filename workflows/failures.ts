/** Domain errors at the edge of workflow code: a plain throw would retry the workflow task for ever instead of failing. */
import { ActivityFailure, ApplicationFailure, ChildWorkflowFailure } from '@temporalio/workflow';
import { SlipwayError } from '../domain/errors.ts';

/** Runs a pure rule; its refusal becomes a failure whose `type` is the error code, which the API maps to a status. */
export function orFail<T>(rule: () => T): T {
  try {
    return rule();
  } catch (error) {
    if (error instanceof SlipwayError) throw ApplicationFailure.nonRetryable(error.message, error.code);
    throw error;
  }
}

/** Whether an activity failed because a newer rollout, rollback or experiment has taken the endpoint. */
export function isFenced(error: unknown): boolean {
  return (
    error instanceof ActivityFailure &&
    error.cause instanceof ApplicationFailure &&
    error.cause.type === 'EPOCH_FENCED'
  );
}

/** What went wrong at the bottom, for people. */
export function rootMessage(error: unknown): string {
  let cause = error;
  while (
    (cause instanceof ActivityFailure || cause instanceof ChildWorkflowFailure) &&
    cause.cause !== undefined
  ) {
    cause = cause.cause;
  }
  return cause instanceof Error ? cause.message : String(cause);
}

/** A run without a result: because of its rows, or because of what runs it. */
import { SlipwayError } from '../../domain/errors.ts';
import type { ErrorCode } from '../../domain/errors.ts';

const EXECUTOR = 'executor';

export function inferenceFailed(internal: string): SlipwayError {
  return new SlipwayError('INFERENCE_FAILED', 'The model failed on this input; other input may work.', {
    internal,
  });
}

/** The run took too long, or its thread ended: the same rows in smaller runs would do no better. */
export function executorFailed(internal: string): SlipwayError {
  return new SlipwayError('INFERENCE_FAILED', 'The model failed on this input; other input may work.', {
    internal,
    cause: EXECUTOR,
  });
}

/** The server that the model runs in was not there, or did not answer in time. */
export function remoteUnavailable(internal: string): SlipwayError {
  return new SlipwayError(
    'REMOTE_UNAVAILABLE',
    'The inference server behind this model did not answer; try again in a moment.',
    { internal },
  );
}

/** Whether other rows may have been without fault. */
export function isInputFailure(error: SlipwayError): boolean {
  return error.code === 'INFERENCE_FAILED' && error.cause !== EXECUTOR;
}

const NO_FAULT: ReadonlySet<ErrorCode> = new Set(['DEADLINE_EXCEEDED', 'CALLER_GONE', 'MODEL_NOT_READY']);

/** It never reached the model, or nobody waited for it: no evidence against a version. */
export function isNoFaultOfModel(error: unknown): boolean {
  return error instanceof SlipwayError && NO_FAULT.has(error.code);
}

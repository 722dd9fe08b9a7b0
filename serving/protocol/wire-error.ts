/** Errors as callers see them: `{ error, code, retryable }`. Internal detail goes to the log only. */
import { ERRORS, SlipwayError } from '../../domain/errors.ts';
import type { ErrorCode } from '../../domain/errors.ts';

export interface WireError {
  readonly status: number;
  readonly code: ErrorCode;
  readonly body: string;
}

export function wireError(error: unknown): WireError {
  const code: ErrorCode = error instanceof SlipwayError ? error.code : 'INTERNAL';
  const { status, retryable } = ERRORS[code];
  const message = error instanceof SlipwayError ? error.message : ERRORS.INTERNAL.title;
  return { status, code, body: JSON.stringify({ error: message, code, retryable }) };
}

/** What the headers say about how long a request may take, and whether it is one more try. */
import { SlipwayError } from '../../domain/errors.ts';

export const MAX_DEADLINE_MS = 600_000;

const DIGITS = /^\d{1,6}$/;

/** @throws SlipwayError `INVALID_REQUEST` */
export function parseDeadlineMs(value: string | undefined, otherwiseMs: number): number {
  if (value === undefined) return otherwiseMs;
  const ms = DIGITS.test(value) ? Number(value) : 0;
  if (ms < 1 || ms > MAX_DEADLINE_MS) {
    throw new SlipwayError(
      'INVALID_REQUEST',
      `x-deadline-ms must be a whole number of milliseconds from 1 to ${MAX_DEADLINE_MS}`,
    );
  }
  return ms;
}

/** @throws SlipwayError `INVALID_REQUEST` */
export function isRetry(value: string | undefined): boolean {
  if (value === undefined || value === '0') return false;
  if (!DIGITS.test(value)) {
    throw new SlipwayError('INVALID_REQUEST', 'x-retry-attempt must be a whole number; 0 is the first try');
  }
  return Number(value) > 0;
}

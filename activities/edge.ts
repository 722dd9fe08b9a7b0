/**
 * The one place where domain errors become Temporal failures: `type` is the error code, and what no retry can mend is
 * marked as such. Anything else that is thrown stays as it is and is retried under the activity's policy.
 */
import { ApplicationFailure } from '@temporalio/activity';
import type { ActivityInboundCallsInterceptor } from '@temporalio/worker';
import { SlipwayError } from '../domain/errors.ts';

export const domainErrors: ActivityInboundCallsInterceptor = {
  async execute(input, next) {
    try {
      return await next(input);
    } catch (error) {
      throw error instanceof SlipwayError ? toFailure(error) : error;
    }
  },
};

export function toFailure(error: SlipwayError): ApplicationFailure {
  return ApplicationFailure.create({
    message: error.message,
    type: error.code,
    nonRetryable: !error.retryable,
    details: error.problems.length === 0 ? [] : [error.problems],
    cause: error,
  });
}

/**
 * The 429, written before: under overload nothing is done more often. Its body is left unread; `node:http` reads it
 * off the connection and throws it away once the answer is out, so that the connection serves the next request.
 */
import type { ServerResponse } from 'node:http';
import { SlipwayError } from '../../domain/errors.ts';
import { wireError } from '../protocol/wire-error.ts';
import { SHED_REASONS } from './admission-metrics.ts';
import type { ShedReason } from './admission-metrics.ts';

export const MAX_RETRY_AFTER_S = 30;

export interface Rejection {
  readonly reason: ShedReason;
  readonly retryAfterS: number;
  /** Names and values in turn, as `writeHead` takes them without looking at each. */
  readonly headers: readonly string[];
  readonly body: string;
}

const MESSAGES: Readonly<Record<ShedReason, string>> = {
  level: 'the gateway has more requests than it can answer and turns away those of lower priority',
  wait: 'the request would wait for more than half of its deadline; allow more time or send it later',
  limit: 'too many requests of this priority are under way',
  cap: 'too many requests are under way',
  pressure: 'the gateway has no time left for requests of lower priority',
  retry: 'too many retries are under way; wait longer between them',
};

const REJECTIONS = new Map<ShedReason, readonly Rejection[]>(
  SHED_REASONS.map((reason) => {
    const { body } = wireError(
      new SlipwayError('OVERLOADED', `${MESSAGES[reason]}; try again after the time in Retry-After`),
    );
    const each = Array.from({ length: MAX_RETRY_AFTER_S + 1 }, (_, retryAfterS): Rejection => {
      const headers = ['content-type', 'application/json', 'content-length', String(Buffer.byteLength(body))];
      return { reason, retryAfterS, body, headers: [...headers, 'retry-after', String(retryAfterS)] };
    });
    return [reason, each];
  }),
);

/** Whole seconds from 1 to 30. */
export function rejection(reason: ShedReason, retryAfterS: number): Rejection {
  const seconds = Math.min(MAX_RETRY_AFTER_S, Math.max(1, Math.ceil(retryAfterS)));
  return REJECTIONS.get(reason)?.[seconds] as Rejection;
}

/** Writes nothing on a response that has begun. The request's body must not have been touched. */
export function writeRejection(response: ServerResponse, { headers, body }: Rejection): void {
  response.writeHead(429, headers as string[]);
  response.end(body);
}

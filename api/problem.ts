/**
 * Errors as RFC 9457 problem documents, all from the one table. What is not on the table leaves as INTERNAL, and its
 * detail goes to the log only.
 */
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';

import type { ErrorCode } from '../domain/errors.ts';
import { ERRORS, SlipwayError } from '../domain/errors.ts';
import type { ProblemDocument } from './schemas/common.ts';
import { problemsOf } from './validation.ts';

export const PROBLEM_MEDIA_TYPE = 'application/problem+json';
const TYPE_BASE = 'https://slipway.dev/errors/';

/** Fastify's own errors, by their stable code. */
const FRAMEWORK: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: ['BODY_TOO_LARGE', 'the body is larger than this API takes; send it in parts'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ['UNSUPPORTED_MEDIA_TYPE', 'send the body as application/json'],
  FST_ERR_CTP_EMPTY_JSON_BODY: ['INVALID_REQUEST', 'the body is empty; send a JSON object'],
  FST_ERR_CTP_INVALID_JSON_BODY: [
    'INVALID_REQUEST',
    'the body is not JSON, or has a member __proto__ or constructor.prototype',
  ],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ['INVALID_REQUEST', 'the body does not have the announced length'],
  FST_ERR_BAD_URL: ['INVALID_REQUEST', 'the path cannot be decoded'],
  FST_ERR_MAX_PARAM_LENGTH: ['NOT_FOUND', 'no name in this API is that long'],
  FST_ERR_ASYNC_CONSTRAINT: ['INVALID_REQUEST', 'the request cannot be routed'],
};

/** For other errors with a 4xx status, e.g. of the HTTP parser. */
const BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  401: 'UNAUTHENTICATED',
  403: 'FORBIDDEN',
  404: 'NOT_FOUND',
  405: 'METHOD_NOT_ALLOWED',
  413: 'BODY_TOO_LARGE',
  415: 'UNSUPPORTED_MEDIA_TYPE',
};

export function problemDocument(error: SlipwayError, requestId: string): ProblemDocument {
  const { status, title, retryable } = ERRORS[error.code];
  return {
    type: `${TYPE_BASE}${error.code}`,
    title,
    status,
    detail: error.message,
    instance: `urn:uuid:${requestId}`,
    code: error.code,
    retryable,
    problems: error.problems,
  };
}

/** The error as the caller may know it. */
export function asSlipwayError(error: unknown): SlipwayError {
  if (error instanceof SlipwayError) return error;
  if (!(error instanceof Error)) return internal(error);
  const { validation, code, statusCode } = error as Partial<FastifyError>;
  if (validation !== undefined) {
    const problems = problemsOf(validation);
    return new SlipwayError('INVALID_REQUEST', 'correct the members that are listed and send it again', {
      problems,
      cause: error,
    });
  }
  const known = FRAMEWORK[code ?? ''];
  if (known !== undefined) return new SlipwayError(known[0], known[1], { cause: error });
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new SlipwayError(
      BY_STATUS[statusCode] ?? 'INVALID_REQUEST',
      'the request cannot be read as HTTP with JSON',
      {
        internal: error.message,
        cause: error,
      },
    );
  }
  return internal(error);
}

export async function sendProblem(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const known = asSlipwayError(error);
  const log = { code: known.code, internal: known.internal, err: known.cause ?? known };
  if (known.status >= 500) request.log.error(log, known.message);
  else request.log.info({ code: known.code, internal: known.internal }, known.message);
  if (known.code === 'UNAUTHENTICATED') void reply.header('www-authenticate', 'Bearer realm="slipway"');
  if (known.retryable && known.status === 503) void reply.header('retry-after', '1');
  await reply
    .code(known.status)
    .header('cache-control', 'no-store')
    .type(PROBLEM_MEDIA_TYPE)
    .serializer((document: unknown) => JSON.stringify(document))
    .send(problemDocument(known, request.id));
}

function internal(cause: unknown): SlipwayError {
  return new SlipwayError('INTERNAL', 'something unexpected went wrong; give the operator this instance', {
    internal: cause instanceof Error ? cause.message : String(cause),
    cause,
  });
}

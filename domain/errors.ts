/**
 * The one table of error codes.
 *
 * Every error that a person or a program meets carries one of these codes: the API turns it into an
 * RFC 9457 problem document, the gateway into `{ error, code, retryable }`, an activity into an
 * `ApplicationFailure` of that type, the CLI into an exit code. `docs/reference/errors.md` is held against
 * this table by a test.
 *
 * `message` is for the caller and says what to do; `internal` is for the log and never leaves the process.
 */

export interface ErrorRow {
  /** HTTP status that the API and the gateway answer with. */
  readonly status: number;
  /** Whether the same call may succeed later without being changed. */
  readonly retryable: boolean;
  /** One sentence that holds for every occurrence (RFC 9457 `title`). */
  readonly title: string;
}

const row = (status: number, retryable: boolean, title: string): ErrorRow => ({ status, retryable, title });

export const ERRORS = {
  // Requests
  INVALID_REQUEST: row(400, false, 'The request does not have the documented shape.'),
  UNAUTHENTICATED: row(401, false, 'A valid bearer token is required.'),
  FORBIDDEN: row(403, false, 'This actor may not do that.'),
  NOT_FOUND: row(404, false, 'There is nothing under this name.'),
  METHOD_NOT_ALLOWED: row(405, false, 'This path does not support the method.'),
  BODY_TOO_LARGE: row(413, false, 'The request body is larger than the limit.'),
  UNSUPPORTED_MEDIA_TYPE: row(415, false, 'The content type or encoding is not supported.'),
  INTERNAL: row(500, true, 'Something unexpected went wrong; the log has the detail.'),
  UNAVAILABLE: row(503, true, 'A part that this call needs is not available right now.'),

  // Manifests and releases
  INVALID_MANIFEST: row(422, false, 'The manifest is refused whole; every problem is listed.'),
  MODEL_NOT_FOUND: row(404, false, 'No model of this name has been applied.'),
  RELEASE_NOT_FOUND: row(404, false, 'There is no release with this id.'),
  ROLLOUT_IN_PROGRESS: row(409, true, 'Another rollout holds this endpoint.'),
  WRONG_PHASE: row(409, false, 'The release is not in a phase that allows this.'),
  INVALID_PARAMETER: row(422, false, 'A release parameter is unknown or out of range.'),

  // Approvals
  FOUR_EYES: row(403, false, 'The submitter of a release cannot approve it.'),
  ALREADY_DECIDED: row(409, false, 'This approver has already decided, or the decision is final.'),
  STALE_REVIEW: row(409, false, 'The approval names another digest than the one under review.'),

  // Registry
  VERSION_NOT_FOUND: row(404, false, 'There is no model version with this digest.'),
  DIGEST_CONFLICT: row(409, false, 'The bytes do not have the digest that they were stored under.'),
  GENERATION_CONFLICT: row(409, true, 'The route has changed since it was read; nothing was written.'),
  EPOCH_FENCED: row(409, false, 'A newer rollout or rollback owns this endpoint; nothing was written.'),
  NO_CHAMPION: row(409, false, 'The endpoint has no champion yet.'),
  NO_FORMER_CHAMPION: row(409, false, 'There is no former champion that may serve again.'),
  IMMUTABLE: row(409, false, 'This record is insert-only and cannot be changed.'),

  // Verification of a version before it is loaded
  SIGNATURE_INVALID: row(422, false, 'The signature does not match the model version.'),
  SIGNER_NOT_TRUSTED: row(422, false, 'The model version is signed by a key that is not trusted.'),
  FILE_DIGEST_MISMATCH: row(422, false, 'A file does not have the digest that was signed.'),
  FILE_MISSING: row(422, false, 'A signed file is missing.'),
  FILE_UNSIGNED: row(422, false, 'A file is present that was not signed.'),
  SYMLINK_REFUSED: row(422, false, 'A model version may not contain symbolic links.'),
  VERSION_REVOKED: row(422, false, 'The model version or its key has been revoked.'),
  VERSION_NOT_APPROVED: row(422, false, 'The model version has no valid approval.'),
  MODEL_LOAD_FAILED: row(422, false, 'The model could not be loaded or warmed up.'),

  // Training, data and gates
  DATA_INVALID: row(422, false, 'The training data cannot be used as declared.'),
  TRAINER_REJECTED_JOB: row(422, false, 'The trainer refused the job as wrong input (exit code 64).'),
  TRAINER_FAILED: row(500, true, 'The trainer ended with an error.'),
  TRAINER_CONTRACT: row(500, false, 'The trainer broke its contract.'),
  GATE_INVALID: row(422, false, 'A gate expression cannot be evaluated.'),
  PREDICTION_LOG_INVALID: row(
    422,
    false,
    'The file is no prediction log segment that this version can read.',
  ),
  OUTPUT_EXISTS: row(409, false, 'The file to be written is there already.'),

  // Gateway
  MODEL_NOT_READY: row(503, true, 'The model is not loaded yet.'),
  INVALID_TENSOR: row(400, false, 'A tensor of the request is wrong; the message names it.'),
  INFERENCE_FAILED: row(500, true, 'The model failed on this input.'),
  OVERLOADED: row(429, true, 'The gateway sheds load; try again after the time in Retry-After.'),
  DEADLINE_EXCEEDED: row(504, true, 'The deadline of the request passed before it could be answered.'),
  CALLER_GONE: row(499, false, 'The caller closed the connection before it was answered.'),
  MODEL_CONTROL_DISABLED: row(403, false, 'This gateway does not let callers load and unload models.'),
  FEATURE_MISSING: row(422, false, 'A feature that has no default is missing for this entity.'),
  FEATURES_UNAVAILABLE: row(503, true, 'The online feature store did not answer in time.'),
  REMOTE_UNAVAILABLE: row(503, true, 'The inference server behind this model did not answer.'),

  // Experiments
  EXPERIMENT_NOT_FOUND: row(404, false, 'There is no experiment of this name.'),
  EXPERIMENT_RUNNING: row(409, false, 'An experiment already runs on this endpoint.'),
  REWARD_REFUSED: row(422, false, 'The reward cannot be counted; the message says why.'),
  GATEWAY_NOT_ACKNOWLEDGED: row(503, true, 'Not every live gateway has applied the route in time.'),
  CANDIDATE_REFUSED: row(422, false, 'A gateway refused to load the candidate.'),

  // Local stack
  CONFIG_INVALID: row(500, false, 'The configuration is not valid; every problem is listed.'),
  STACK_NOT_RUNNING: row(503, true, 'No running stack was found; start one with `npm start`.'),
  STACK_ALREADY_RUNNING: row(409, false, 'A stack is already running in this home.'),
  DEPENDENCY_MISSING: row(500, false, 'A program that the stack needs was not found.'),
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

export interface Problem {
  /** Where: a file name, or absent for a request body. */
  readonly file?: string;
  /** JSON pointer (RFC 6901) into the document, e.g. `/spec/rollout/steps/1/weight`. */
  readonly path: string;
  readonly reason: string;
}

export interface ErrorExtra {
  /** For the log only. */
  readonly internal?: string;
  readonly problems?: readonly Problem[];
  readonly cause?: unknown;
}

/** The only error class that Slipway throws on purpose. */
export class SlipwayError extends Error {
  readonly code: ErrorCode;
  readonly internal: string | undefined;
  readonly problems: readonly Problem[];

  constructor(code: ErrorCode, message: string, extra: ErrorExtra = {}) {
    super(message, extra.cause === undefined ? undefined : { cause: extra.cause });
    this.name = 'SlipwayError';
    this.code = code;
    this.internal = extra.internal;
    this.problems = extra.problems ?? [];
  }

  get status(): number {
    return ERRORS[this.code].status;
  }

  get retryable(): boolean {
    return ERRORS[this.code].retryable;
  }
}

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(ERRORS, value);
}

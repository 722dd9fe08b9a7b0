/** Turns what PostgreSQL and its driver throw into Slipway's codes; the caller never sees SQL, the log does. */
import { SlipwayError } from '../domain/errors.ts';
import type { ErrorCode } from '../domain/errors.ts';

/** Raised by the triggers of `migrations/0001_integrity.sql`. */
const INSERT_ONLY_STATE = 'SW001';

const SOCKET_ERRORS = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
]);

/** Failures that say nothing about the request: the same call may succeed in a moment. */
function isUnavailable(code: string | undefined, message: string): boolean {
  if (code === undefined)
    return /connection (terminated|timeout|error)|timeout exceeded when trying/i.test(message);
  if (SOCKET_ERRORS.has(code)) return true;
  // 08: connection; 53: no resources; 57: cancelled, shut down; 40: rolled back for another transaction; 55P03: lock timeout.
  return /^(08|53|57|40)/.test(code) || code === '55P03';
}

/** Text that JSON or PostgreSQL cannot hold, such as a NUL or half a surrogate pair. */
const UNSTORABLE = new Set(['22021', '22P05', '22P02']);

/** Already known failures pass through unchanged. */
export function databaseFailure(error: unknown): Error {
  const known = findInChain(error, (link) => link instanceof SlipwayError);
  if (known instanceof Error) return known;
  const driver = findInChain(error, (link) => typeof link.code === 'string') ?? lastInChain(error);
  const state = typeof driver?.code === 'string' ? driver.code : undefined;
  const message = driver?.message ?? String(error);
  const [code, text] = describe(state, message);
  return new SlipwayError(code, text, { internal: `${state ?? 'driver'}: ${message}`, cause: error });
}

function describe(state: string | undefined, message: string): readonly [ErrorCode, string] {
  if (state === INSERT_ONLY_STATE) return ['IMMUTABLE', `${message}; add a new record instead`];
  if (isUnavailable(state, message)) {
    return ['UNAVAILABLE', 'PostgreSQL cannot be reached right now; check that it runs and try again'];
  }
  if (state !== undefined && UNSTORABLE.has(state)) {
    return ['INVALID_REQUEST', 'a text of this request holds characters that cannot be stored; remove them'];
  }
  return ['INTERNAL', 'the registry could not carry this out; the log has the reason'];
}

type Link = Error & { readonly code?: unknown };

/** drizzle wraps the driver's error as its cause. */
function chain(error: unknown): readonly Link[] {
  const links: Link[] = [];
  for (let link = error; link instanceof Error && links.length < 8; link = link.cause) links.push(link);
  // A refused connection to a name with two addresses comes as an AggregateError without a code of its own.
  const last = links.at(-1);
  if (last instanceof AggregateError && last.errors[0] instanceof Error) links.push(last.errors[0]);
  return links;
}

function findInChain(error: unknown, wanted: (link: Link) => boolean): Link | undefined {
  return chain(error).find(wanted);
}

function lastInChain(error: unknown): Link | undefined {
  return chain(error).at(-1);
}

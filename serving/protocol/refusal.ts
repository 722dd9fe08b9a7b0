/** How a wrong request is refused: one sentence that names the field, and what was found there, short. */
import { SlipwayError } from '../../domain/errors.ts';

/** Ids, units and entity keys. */
export const MAX_TEXT = 1024;
/** No tensor and no member of a request may be nested deeper. */
export const MAX_DEPTH = 8;

export function invalid(message: string): SlipwayError {
  return new SlipwayError('INVALID_REQUEST', message);
}

export function invalidTensor(message: string): SlipwayError {
  return new SlipwayError('INVALID_TENSOR', message);
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What the caller sent, short. Not whole: an array may be nested deeper than the stack allows to print. */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (isObject(value)) return 'an object';
  if (typeof value === 'bigint') return String(value);
  return brief(JSON.stringify(value));
}

/** An answer is no echo: what a caller sent comes back as its beginning. */
export function brief(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** Members that nobody asked for are ignored, as the protocol wants, but not at any depth. */
export function refuseDeepMembers(
  object: Record<string, unknown>,
  known: ReadonlySet<string>,
  where: string,
): void {
  for (const name in object) {
    if (!known.has(name) && isDeeperThan(object[name], MAX_DEPTH)) {
      throw invalid(`${where}${show(name)} is nested deeper than ${MAX_DEPTH}`);
    }
  }
}

/** Stops at the limit, so that depth costs no stack. */
function isDeeperThan(value: unknown, limit: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (limit === 0) return true;
  const members: readonly unknown[] = Array.isArray(value) ? value : Object.values(value);
  return members.some((member) => isDeeperThan(member, limit - 1));
}

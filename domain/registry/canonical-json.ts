/**
 * Canonical JSON (RFC 8785) for what Slipway hashes and signs: the same value always gives the same text, whoever
 * writes it and whatever order its keys came in.
 *
 * What RFC 8785 cannot represent is an error instead of a silent change: `undefined`, NaN, a Date or a lone surrogate
 * would make two different values hash alike.
 */
import { SlipwayError } from '../errors.ts';

export type JsonValue =
  string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

const encoder = new TextEncoder();

/** @throws SlipwayError `INVALID_REQUEST` with the JSON pointer of the first value that JSON cannot hold. */
export function canonicalJson(value: unknown): string {
  return write(value, '');
}

/** The canonical text as UTF-8: what is hashed and signed. */
export function canonicalBytes(value: unknown): Uint8Array {
  return encoder.encode(canonicalJson(value));
}

function write(value: unknown, pointer: string): string {
  switch (typeof value) {
    case 'boolean':
      return String(value);
    case 'number':
      if (!Number.isFinite(value)) throw refuse(pointer, `${value} is not a JSON number`);
      return JSON.stringify(value);
    case 'string':
      return text(value, pointer);
    case 'object':
      if (value === null) return 'null';
      return Array.isArray(value) ? array(value, pointer) : object(value, pointer);
    default:
      throw refuse(pointer, `${typeof value} has no JSON form`);
  }
}

/** Whether the text has a UTF-8 form: no half of a surrogate pair alone. */
export function isWellFormed(value: string): boolean {
  return !/\p{Surrogate}/u.test(value);
}

function text(value: string, pointer: string): string {
  if (!isWellFormed(value)) throw refuse(pointer, 'the string holds a lone surrogate');
  return JSON.stringify(value);
}

function array(value: readonly unknown[], pointer: string): string {
  return `[${Array.from(value, (item, index) => write(item, `${pointer}/${index}`)).join(',')}]`;
}

function object(value: object, pointer: string): string {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    throw refuse(pointer, 'only plain objects have a JSON form');
  }
  // RFC 8785 sorts by UTF-16 code units, which is what JavaScript's default sort compares.
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members
    .map(([key, member]) => {
      const inner = `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;
      return `${text(key, inner)}:${write(member, inner)}`;
    })
    .join(',')}}`;
}

function refuse(pointer: string, reason: string): SlipwayError {
  const where = pointer === '' ? 'the document' : pointer;
  return new SlipwayError('INVALID_REQUEST', `cannot be written as canonical JSON: ${where}: ${reason}`, {
    problems: [{ path: pointer, reason }],
  });
}

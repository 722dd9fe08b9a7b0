/**
 * Names of the files of a model version: relative POSIX paths that mean the same on every machine, and their order.
 *
 * The root digest depends on the order, so it has to be the order of the OpenSSF tool: by path component, each
 * compared by code point. That is not the order of the whole strings: `a/z` comes before `a-b`.
 */
import { isWellFormed } from './canonical-json.ts';

/**
 * What a signature leaves out: the signature itself, and what the OpenSSF tool leaves out by default. A version may
 * not contain files of these names, or the tool would call them missing.
 */
export const IGNORED_PATHS: readonly string[] = [
  '.git',
  '.gitattributes',
  '.github',
  '.gitignore',
  'model.sig',
];

/** Why a name is refused; undefined when it is fine. */
export function fileNameProblem(name: unknown): string | undefined {
  if (typeof name !== 'string' || name === '') return 'a file name is a non-empty string';
  if (!isWellFormed(name)) return 'the name is not valid Unicode';
  if (/\p{Cc}/u.test(name)) return 'the name contains a control character';
  if (name.includes('\\')) return 'the name contains a backslash; components are separated by "/"';
  if (name.startsWith('/')) return 'the name is an absolute path; it must be relative to the version';
  const components = name.split('/');
  if (components.some((component) => component === '' || component === '.' || component === '..')) {
    return 'the name has an empty, "." or ".." component';
  }
  return undefined;
}

/** Whether `name` is one of `ignored` or lies under it. */
export function isIgnored(name: string, ignored: readonly string[]): boolean {
  return ignored.some((path) => name === path || name.startsWith(`${path}/`));
}

export function compareFileNames(a: string, b: string): number {
  const left = a.split('/');
  const right = b.split('/');
  for (let index = 0; index < Math.min(left.length, right.length); index++) {
    const order = compareByCodePoint(left[index] ?? '', right[index] ?? '');
    if (order !== 0) return order;
  }
  return left.length - right.length;
}

// `<` compares UTF-16 units, which puts U+1F600 before U+FF01; the tool compares code points.
function compareByCodePoint(a: string, b: string): number {
  if (a === b) return 0;
  const left = Array.from(a, (character) => character.codePointAt(0) ?? 0);
  const right = Array.from(b, (character) => character.codePointAt(0) ?? 0);
  for (let index = 0; index < Math.min(left.length, right.length); index++) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

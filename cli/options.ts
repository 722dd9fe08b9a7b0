/** Options and arguments that several commands have, and how their text is read. */
import { InvalidArgumentError, Option } from 'commander';

import type { ParameterValue } from '../domain/manifest/model-manifest.ts';

export const jsonOption = (): Option => new Option('--json', 'print the answer as JSON');

export const asOption = (fallback: string): Option =>
  new Option('--as <actor>', "act as this person of the stack's token file").default(fallback);

export const reasonOption = (fallback: string): Option =>
  new Option('--reason <text>', 'why, for the audit log').default(fallback);

export function releaseId(text: string): string {
  if (!/^[a-z][a-z0-9-]*\/[1-9]\d*$/.test(text)) {
    throw new InvalidArgumentError('A release id looks like elec2/4.');
  }
  return text;
}

export function modelName(text: string): string {
  if (!/^[a-z][a-z0-9-]{0,62}$/.test(text)) {
    throw new InvalidArgumentError(
      'A model name has lower-case letters, digits and -, and begins with a letter.',
    );
  }
  return text;
}

export function versionDigest(text: string): string {
  if (!/^(sha256:)?[0-9a-f]{8,64}$/.test(text)) {
    throw new InvalidArgumentError(
      'A version is named by its digest, or at least the first 8 hex characters of it.',
    );
  }
  return text;
}

/** `k=v`: JSON where it is a number, true, false or a list of strings; text otherwise. */
export function parameter(
  text: string,
  before: Readonly<Record<string, ParameterValue>> = {},
): Readonly<Record<string, ParameterValue>> {
  const [, name, value] = /^([A-Za-z_][A-Za-z0-9_.-]*)=([^]*)$/.exec(text) ?? [];
  if (name === undefined || value === undefined) {
    throw new InvalidArgumentError('A parameter looks like trees=200.');
  }
  if (Object.hasOwn(before, name)) throw new InvalidArgumentError(`${name} is given twice.`);
  return { ...before, [name]: parameterValue(value) };
}

function parameterValue(text: string): ParameterValue {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return text;
  }
  if (typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value))) return value;
  if (Array.isArray(value) && value.every((item): item is string => typeof item === 'string')) return value;
  return typeof value === 'string' ? value : text;
}

/** Building blocks of the API's schemas, and the problem document that every error is. */
import { Type } from 'typebox';
import type { TProperties, TSchemaOptions, TUnsafe } from 'typebox';

import type { ErrorCode, Problem } from '../../domain/errors.ts';
import { ERRORS } from '../../domain/errors.ts';
import type { ParameterValue } from '../../domain/manifest/model-manifest.ts';

/** An object that refuses members it does not know: a misspelt option must not be silently ignored. */
export const strict = <const T extends TProperties>(properties: T, options: TSchemaOptions = {}) =>
  Type.Object(properties, { ...options, additionalProperties: false });

export function oneOf<const T extends string>(
  values: readonly T[],
  options: TSchemaOptions = {},
): TUnsafe<T> {
  return Type.Unsafe<T>({ ...options, type: 'string', enum: [...values] });
}

/** `T | null`. */
export function nullable<T>(schema: TUnsafe<T>): TUnsafe<T | null>;
export function nullable(schema: object): TUnsafe;
export function nullable(schema: object): TUnsafe {
  return Type.Unsafe<unknown>({ anyOf: [schema, { type: 'null' }] });
}

export const ModelName = Type.String({
  pattern: '^[a-z][a-z0-9-]{0,62}$',
  description: 'a model name: lower-case letters, digits and -, starting with a letter, at most 63',
});

export const DigestSchema = Type.String({
  pattern: '^sha256:[0-9a-f]{64}$',
  description: 'a digest: sha256: and 64 lower-case hex characters',
});

/** As people paste it: the whole digest, or enough of its beginning. */
export const DigestPrefix = Type.String({
  pattern: '^(sha256:)?[0-9a-f]{8,64}$',
  description: 'a version digest, or at least the first 8 of its hex characters',
});

export const Instant = Type.String({
  format: 'date-time',
  description: 'an instant such as 1997-05-07T00:00:00Z',
});
export const UnixMs = Type.Number({ description: 'unix milliseconds' });
export const Reason = Type.String({
  minLength: 1,
  maxLength: 2000,
  pattern: '\\S',
  description: 'a reason in words',
});

export const ParameterValues = Type.Unsafe<Record<string, ParameterValue>>({
  type: 'object',
  maxProperties: 200,
  propertyNames: { type: 'string', pattern: '^[A-Za-z_][A-Za-z0-9_.-]{0,62}$' },
  additionalProperties: {
    description: 'a string, a number, true, false or a list of strings',
    anyOf: [
      { type: ['string', 'number', 'boolean'] },
      { type: 'array', maxItems: 1000, items: { type: 'string', maxLength: 1000 } },
    ],
  },
});

export interface ProblemDocument {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly instance: string;
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly problems: readonly Problem[];
}

export const ProblemSchema = Type.Unsafe<ProblemDocument>(
  strict(
    {
      type: Type.String({ format: 'uri' }),
      title: Type.String(),
      status: Type.Integer(),
      detail: Type.String(),
      instance: Type.String(),
      code: oneOf(Object.keys(ERRORS)),
      retryable: Type.Boolean(),
      problems: Type.Array(
        strict({ file: Type.Optional(Type.String()), path: Type.String(), reason: Type.String() }),
      ),
    },
    { $id: 'Problem', description: 'RFC 9457 problem document; `code` is the stable part.' },
  ),
);

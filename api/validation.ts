/**
 * Validation of requests: JSON Schema 2020-12 (what OpenAPI 3.1 uses), nothing converted or removed in a body, and
 * reasons that a person can act on. Only text that came in a path, a query or a header is read as a number or a flag.
 */
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { ErrorObject, Options } from 'ajv/dist/2020.js';
import type { FastifySchemaCompiler } from 'fastify';

import type { Problem } from '../domain/errors.ts';
import { pointer } from '../domain/manifest/json-pointer.ts';

/** A body of ten thousand wrong labels is wrong once; the first of them say enough. */
const MAX_PROBLEMS = 50;

const DATE_TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/;

const options: Options = {
  allErrors: true,
  verbose: true,
  allowUnionTypes: true,
  removeAdditional: false,
  useDefaults: false,
  coerceTypes: false,
  formats: {
    'date-time': (text: string) => DATE_TIME.test(text) && !Number.isNaN(Date.parse(text)),
    uri: (text: string) => URL.canParse(text),
  },
};

const bodies = new Ajv2020(options);
const texts = new Ajv2020({ ...options, coerceTypes: true });

export const validatorCompiler: FastifySchemaCompiler<object> = ({ schema, httpPart }) =>
  httpPart === 'body' ? bodies.compile(schema) : texts.compile(schema);

type ValidationError = Pick<ErrorObject, 'keyword' | 'instancePath' | 'params' | 'message'> &
  Partial<Pick<ErrorObject, 'parentSchema' | 'data'>>;

/** Where and why, in the order in which they were found, each place once. */
export function problemsOf(errors: readonly object[]): readonly Problem[] {
  const problems = new Map<string, Problem>();
  for (const error of errors as readonly ValidationError[]) {
    const problem = problemOf(error);
    if (problem !== undefined && !problems.has(problem.path)) problems.set(problem.path, problem);
  }
  const all = [...problems.values()];
  if (all.length <= MAX_PROBLEMS) return all;
  return [...all.slice(0, MAX_PROBLEMS), { path: '', reason: `and ${all.length - MAX_PROBLEMS} more` }];
}

function problemOf({
  keyword,
  instancePath,
  params,
  message,
  parentSchema,
  data,
}: ValidationError): Problem | undefined {
  const at = (path: string, reason: string): Problem => ({ path, reason });
  const description: unknown = parentSchema?.['description'];
  switch (keyword) {
    case 'required':
      return at(instancePath + pointer(String(params['missingProperty'])), 'is required');
    case 'additionalProperties': {
      const name = String(params['additionalProperty']);
      return at(
        instancePath + pointer(name),
        unknownMember(name, Object.keys(parentSchema?.['properties'] ?? {})),
      );
    }
    case 'propertyNames':
      return at(instancePath + pointer(String(params['propertyName'])), 'is not a valid name');
    case 'enum':
      return at(instancePath, `must be ${orList(params['allowedValues'] as readonly unknown[])}`);
    case 'const':
      return at(instancePath, `must be ${JSON.stringify(params['allowedValue'])}`);
    case 'type':
      return at(instancePath, `must be ${withArticle(params['type'])}, not ${kindOf(data)}`);
    case 'pattern':
    case 'format':
    case 'anyOf':
      return at(
        instancePath,
        typeof description === 'string' ? `must be ${description}` : (message ?? 'is wrong'),
      );
    default:
      return at(instancePath, message ?? 'is wrong');
  }
}

function unknownMember(name: string, known: readonly string[]): string {
  const near = known.find((candidate) => distance(candidate.toLowerCase(), name.toLowerCase()) <= 2);
  if (near !== undefined) return `is not known; did you mean ${near}?`;
  return known.length === 0 ? 'is not known' : `is not known; known here: ${known.join(', ')}`;
}

/** Edit distance of two short names (Levenshtein); long ones are never near. */
function distance(a: string, b: string): number {
  if (a.length > 64 || b.length > 64) return Number.POSITIVE_INFINITY;
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

function orList(values: readonly unknown[]): string {
  const texts = values.map((value) => String(value));
  return texts.length < 2 ? texts.join('') : `${texts.slice(0, -1).join(', ')} or ${texts.at(-1)}`;
}

function withArticle(type: unknown): string {
  const names = (Array.isArray(type) ? type : [type]).map(String);
  return orList(
    names.map((name) => (/^[aeiou]/.test(name) ? `an ${name}` : name === 'null' ? name : `a ${name}`)),
  );
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'null';
  if (Array.isArray(value)) return 'an array';
  return withArticle(typeof value);
}

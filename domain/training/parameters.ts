/**
 * Parameters of a trainer: the table that its `trainer.json` states, and the one function that checks values against
 * it, for manifests and `--param` alike.
 */
import type { ParameterValue } from '../manifest/model-manifest.ts';
import type { Problem } from '../errors.ts';

interface RuleBase {
  readonly description: string;
}

export type ParameterRule =
  | (RuleBase & {
      readonly type: 'integer' | 'number';
      readonly default: number;
      readonly min: number;
      readonly max: number;
    })
  | (RuleBase & { readonly type: 'string'; readonly default: string; readonly values?: readonly string[] })
  | (RuleBase & { readonly type: 'boolean'; readonly default: boolean })
  | (RuleBase & { readonly type: 'strings'; readonly default: readonly string[] });

export interface TrainerDescriptor {
  readonly contract: number;
  readonly name: string;
  readonly version: string;
  readonly description: string;
  /** Python module that is started with `-m`. */
  readonly module: string;
  /** Pinned packages, relative to the trainer's folder. */
  readonly requirements: string;
  readonly parameters: Readonly<Record<string, ParameterRule>>;
}

export type ResolvedParameters =
  | { readonly ok: true; readonly values: Readonly<Record<string, ParameterValue>> }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/**
 * Values with their types: text from a command line (`trees=200`, `features=a,b`) becomes what the rule says. Only what
 * was given is returned, the trainer fills in its defaults. Every problem is listed, with a JSON pointer to its name.
 */
export function resolveParameters(
  descriptor: TrainerDescriptor,
  given: Readonly<Record<string, ParameterValue>>,
): ResolvedParameters {
  const problems: Problem[] = [];
  const values: Record<string, ParameterValue> = {};
  for (const [name, value] of Object.entries(given)) {
    const path = `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    if (!Object.hasOwn(descriptor.parameters, name)) {
      const known = Object.keys(descriptor.parameters).join(', ');
      problems.push({
        path,
        reason: `trainer ${descriptor.name} has no parameter ${name}; it knows ${known}`,
      });
      continue;
    }
    const outcome = resolve(descriptor.parameters[name]!, value);
    if ('reason' in outcome) problems.push({ path, reason: outcome.reason });
    else values[name] = outcome.value;
  }
  return problems.length === 0 ? { ok: true, values } : { ok: false, problems };
}

type Outcome = { readonly value: ParameterValue } | { readonly reason: string };

function resolve(rule: ParameterRule, value: ParameterValue): Outcome {
  switch (rule.type) {
    case 'integer':
    case 'number': {
      const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
      if (typeof number !== 'number' || !Number.isFinite(number))
        return { reason: `must be a${rule.type === 'integer' ? 'n integer' : ' number'}` };
      if (rule.type === 'integer' && !Number.isInteger(number)) return { reason: 'must be an integer' };
      if (number < rule.min || number > rule.max)
        return { reason: `must be from ${rule.min} to ${rule.max}` };
      return { value: number };
    }
    case 'boolean':
      if (value === true || value === 'true') return { value: true };
      if (value === false || value === 'false') return { value: false };
      return { reason: 'must be true or false' };
    case 'string':
      if (typeof value !== 'string') return { reason: 'must be text' };
      if (rule.values !== undefined && !rule.values.includes(value)) {
        return { reason: `must be one of ${rule.values.join(', ')}` };
      }
      return { value };
    case 'strings': {
      const names = typeof value === 'string' ? splitNames(value) : value;
      if (!Array.isArray(names) || names.some((name) => typeof name !== 'string' || name === '')) {
        return { reason: 'must be a list of names, or names separated by commas' };
      }
      if (new Set(names).size !== names.length) return { reason: 'must not repeat a name' };
      return { value: names };
    }
    default:
      return unreachable(rule);
  }
}

function splitNames(text: string): readonly string[] {
  return text === '' ? [] : text.split(',').map((name) => name.trim());
}

function unreachable(rule: never): never {
  throw new Error(`unknown parameter rule ${JSON.stringify(rule)}`);
}

/** Whether a `trainer.json` is one; the reasons when it is not. */
export function checkDescriptor(
  value: unknown,
  contract: number,
): { readonly descriptor: TrainerDescriptor } | { readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const root = asObject(value);
  if (root['contract'] !== contract) problems.push({ path: '/contract', reason: `must be ${contract}` });
  for (const key of ['name', 'version', 'description', 'module', 'requirements']) {
    if (typeof root[key] !== 'string' || root[key] === '')
      problems.push({ path: `/${key}`, reason: 'must be text' });
  }
  for (const [name, rule] of Object.entries(asObject(root['parameters']))) {
    const path = `/parameters/${name}`;
    const { type, min, max, description } = asObject(rule);
    const numeric = type === 'integer' || type === 'number';
    if (!numeric && type !== 'string' && type !== 'strings' && type !== 'boolean') {
      problems.push({ path: `${path}/type`, reason: 'must be integer, number, string, strings or boolean' });
      continue;
    }
    if (typeof description !== 'string')
      problems.push({ path: `${path}/description`, reason: 'must be text' });
    if (numeric && (typeof min !== 'number' || typeof max !== 'number')) {
      problems.push({ path, reason: 'needs min and max' });
      continue;
    }
    const outcome = resolve(rule as ParameterRule, asObject(rule)['default'] as ParameterValue);
    if ('reason' in outcome) problems.push({ path: `${path}/default`, reason: outcome.reason });
  }
  return problems.length > 0 ? { problems } : { descriptor: value as TrainerDescriptor };
}

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}

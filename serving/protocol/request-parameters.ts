/** The `parameters` of the protocol: of a request, of its tensors, and those that Slipway knows. */
import { brief, invalid, isObject, MAX_TEXT, show } from './refusal.ts';

export interface RequestParameters {
  readonly unit: string | undefined;
  readonly timeoutMicros: number;
  readonly priority: number;
  readonly binaryOutput: boolean;
}

export const NO_PARAMETERS: RequestParameters = {
  unit: undefined,
  timeoutMicros: 0,
  priority: 0,
  binaryOutput: false,
};

/** A model that remembers its sequence would need them; to ignore them would give wrong answers. */
const UNSUPPORTED = ['sequence_id', 'sequence_start', 'sequence_end'];

export function readParameters(parameters: unknown): RequestParameters {
  if (parameters === undefined) return NO_PARAMETERS;
  if (!isObject(parameters)) throw invalid(`parameters must be an object, not ${show(parameters)}`);
  checkParameters(parameters, 'parameters', UNSUPPORTED);
  const { unit } = parameters;
  const text = typeof unit === 'number' ? String(unit) : optionalText(unit, 'parameters.unit');
  return {
    unit: text === '' ? undefined : text,
    timeoutMicros: whole(parameters['timeout'], 'parameters.timeout'),
    priority: whole(parameters['priority'], 'parameters.priority'),
    binaryOutput: flag(parameters['binary_data_output'], 'parameters.binary_data_output') ?? false,
  };
}

/** The values that the protocol has, and none of the parameters that would ask for what is not done here. */
export function checkParameters(
  parameters: Record<string, unknown>,
  where: string,
  unsupported: readonly string[],
): void {
  for (const name in parameters) {
    const value = parameters[name];
    if (typeof value === 'object') {
      throw invalid(`${where}.${brief(name)} must be a string, a number or a boolean, not ${show(value)}`);
    }
    if (unsupported.includes(name)) throw invalid(`${where}.${name} is not supported`);
  }
}

export function flag(value: unknown, where: string): boolean | undefined {
  if (value === undefined || typeof value === 'boolean') return value;
  throw invalid(`${where} must be true or false, not ${show(value)}`);
}

export function optionalText(value: unknown, field: string): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || value.length > MAX_TEXT) {
    throw invalid(`${field} must be a string of at most ${MAX_TEXT} characters`);
  }
  return value;
}

function whole(value: unknown, field: string): number {
  if (value === undefined) return 0;
  if (!Number.isSafeInteger(value) || (value as number) < 0) {
    throw invalid(`${field} must be a whole number of at least 0, not ${show(value)}`);
  }
  return value as number;
}

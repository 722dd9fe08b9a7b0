/** Which outputs a request asks for, in which order and form. */
import { invalid, invalidTensor, isObject, refuseDeepMembers, show } from './refusal.ts';
import { checkParameters, flag } from './request-parameters.ts';

export type OutputName = 'label' | 'score';

export interface RequestedOutput {
  readonly name: OutputName;
  /** Raw bytes after the JSON of the answer, instead of numbers in it. */
  readonly binary: boolean;
}

export const ALL_JSON: readonly RequestedOutput[] = [
  { name: 'label', binary: false },
  { name: 'score', binary: false },
];
export const ALL_BINARY: readonly RequestedOutput[] = [
  { name: 'label', binary: true },
  { name: 'score', binary: true },
];

const OUTPUT_MEMBERS = new Set(['name', 'parameters']);
/** Asked for something that would not happen: better refused than answered as if it had. */
const UNSUPPORTED = ['classification', 'shared_memory_region'];

/** @param binary what an output is that does not say, from the request's own parameters */
export function requestedOutputs(outputs: unknown, binary: boolean): readonly RequestedOutput[] {
  if (outputs === undefined) return binary ? ALL_BINARY : ALL_JSON;
  if (!Array.isArray(outputs)) throw invalid('outputs must be an array');
  if (outputs.length === 0) return binary ? ALL_BINARY : ALL_JSON;
  const wanted: RequestedOutput[] = [];
  for (const [index, output] of outputs.entries()) {
    const where = `outputs[${index}]`;
    if (!isObject(output)) throw invalidTensor(`${where} must be an object, not ${show(output)}`);
    const { name } = output;
    if (name !== 'label' && name !== 'score') {
      throw invalidTensor(`${where}.name must be "label" or "score", not ${show(name)}`);
    }
    if (wanted.some((other) => other.name === name)) {
      throw invalidTensor(`${where}: "${name}" is asked for twice`);
    }
    refuseDeepMembers(output, OUTPUT_MEMBERS, `${where}: `);
    wanted.push({ name, binary: isBinary(output['parameters'], `${where}.parameters`) ?? binary });
  }
  return wanted;
}

function isBinary(parameters: unknown, where: string): boolean | undefined {
  if (parameters === undefined) return undefined;
  if (!isObject(parameters)) throw invalid(`${where} must be an object, not ${show(parameters)}`);
  checkParameters(parameters, where, UNSUPPORTED);
  return flag(parameters['binary_data'], `${where}.binary_data`);
}

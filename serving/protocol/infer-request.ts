/**
 * A V2 inference request in JSON, checked field by field against the endpoint's contract. Each refusal names the
 * field; nothing is guessed, coerced or defaulted.
 */
import { SlipwayError } from '../../domain/errors.ts';
import type { FeatureSpec } from '../../domain/manifest/model-manifest.ts';

/** What an endpoint takes, in the form that checking is quickest with. */
export interface InputContract {
  readonly names: readonly string[];
  readonly mins: Float64Array;
  readonly maxs: Float64Array;
  readonly maxRows: number;
}

export interface InferRequest {
  readonly id: string | undefined;
  /** Who the request is for, when the caller says so: the same unit gets the same arm. */
  readonly unit: string | undefined;
  /** Row-major [rows, K]. */
  readonly features: Float32Array;
  readonly rows: number;
  readonly wantsLabel: boolean;
  readonly wantsScore: boolean;
}

export const INPUT_NAME = 'features';
const MAX_TEXT = 1024;

export function inputContract(features: readonly FeatureSpec[], maxRows: number): InputContract {
  return {
    names: features.map(({ name }) => name),
    mins: Float64Array.from(features, ({ min }) => min ?? -Infinity),
    maxs: Float64Array.from(features, ({ max }) => max ?? Infinity),
    maxRows,
  };
}

/** @throws SlipwayError `INVALID_REQUEST` or `INVALID_TENSOR` */
export function parseInferRequest(body: Buffer, contract: InputContract): InferRequest {
  if (body.length === 0) throw invalid('the body is empty; send a V2 inference request in JSON');
  let document: unknown;
  try {
    document = JSON.parse(body.toString('utf8'));
  } catch {
    throw invalid('the body is not JSON');
  }
  if (!isObject(document)) throw invalid('the body must be a JSON object');
  const unit = unitOf(document['parameters']);
  const outputs = document['outputs'];
  const wanted = outputs === undefined ? ALL_OUTPUTS : requestedOutputs(outputs);
  const input = theInput(document['inputs']);
  const rows = rowsOf(input['shape'], contract);
  return {
    id: optionalText(document['id'], 'id'),
    unit,
    features: readData(input['data'], rows, contract),
    rows,
    wantsLabel: wanted.label,
    wantsScore: wanted.score,
  };
}

interface Wanted {
  readonly label: boolean;
  readonly score: boolean;
}
const ALL_OUTPUTS: Wanted = { label: true, score: true };

function optionalText(value: unknown, field: string): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || value.length > MAX_TEXT) {
    throw invalid(`${field} must be a string of at most ${MAX_TEXT} characters`);
  }
  return value;
}

function unitOf(parameters: unknown): string | undefined {
  if (parameters === undefined) return undefined;
  if (!isObject(parameters)) throw invalid('parameters must be an object');
  const unit = parameters['unit'];
  const text = typeof unit === 'number' ? String(unit) : optionalText(unit, 'parameters.unit');
  return text === '' ? undefined : text;
}

function requestedOutputs(outputs: unknown): Wanted {
  if (!Array.isArray(outputs)) throw invalid('outputs must be an array');
  if (outputs.length === 0) return ALL_OUTPUTS;
  const wanted = { label: false, score: false };
  for (const [index, output] of outputs.entries()) {
    const name: unknown = isObject(output) ? output['name'] : undefined;
    if (name !== 'label' && name !== 'score') {
      throw invalidTensor(`outputs[${index}].name must be "label" or "score", not ${show(name)}`);
    }
    if (wanted[name]) throw invalidTensor(`outputs[${index}]: "${name}" is asked for twice`);
    wanted[name] = true;
  }
  return wanted;
}

function theInput(inputs: unknown): Record<string, unknown> {
  if (!Array.isArray(inputs)) throw invalidTensor(`inputs must be an array with the tensor "${INPUT_NAME}"`);
  let found: Record<string, unknown> | undefined;
  for (let index = 0; index < inputs.length; index += 1) {
    const input: unknown = inputs[index];
    if (!isObject(input)) throw invalidTensor(`inputs[${index}] must be an object`);
    if (input['name'] !== INPUT_NAME) {
      throw invalidTensor(
        `inputs[${index}].name: the only input is "${INPUT_NAME}", not ${show(input['name'])}`,
      );
    }
    if (found !== undefined) throw invalidTensor(`inputs[${index}]: "${INPUT_NAME}" is there twice`);
    found = input;
  }
  if (found === undefined) throw invalidTensor(`inputs: the tensor "${INPUT_NAME}" is missing`);
  if (found['datatype'] !== 'FP32') {
    throw invalidTensor(`${INPUT_NAME}.datatype must be "FP32", not ${show(found['datatype'])}`);
  }
  return found;
}

function rowsOf(shape: unknown, { names, maxRows }: InputContract): number {
  const columns = names.length;
  if (!Array.isArray(shape) || shape.length !== 2) {
    throw invalidTensor(`${INPUT_NAME}.shape must be [rows, ${columns}], not ${show(shape)}`);
  }
  const rows: unknown = shape[0];
  if (!Number.isSafeInteger(rows) || (rows as number) < 1) {
    throw invalidTensor(`${INPUT_NAME}.shape[0] must be a whole number of at least 1, not ${show(rows)}`);
  }
  if (shape[1] !== columns) {
    throw invalidTensor(
      `${INPUT_NAME}.shape[1] must be ${columns}, one for each feature, not ${show(shape[1])}`,
    );
  }
  if ((rows as number) > maxRows) {
    throw invalidTensor(`${INPUT_NAME}.shape[0]: at most ${maxRows} rows in one request, not ${show(rows)}`);
  }
  return rows as number;
}

/** Flat in row-major order, or one array for each row. */
function readData(data: unknown, rows: number, contract: InputContract): Float32Array {
  if (!Array.isArray(data)) throw invalidTensor(`${INPUT_NAME}.data must be an array of numbers`);
  const columns = contract.names.length;
  const features = new Float32Array(rows * columns);
  if (Array.isArray(data[0])) {
    if (data.length !== rows) {
      throw invalidTensor(`${INPUT_NAME}.data has ${data.length} rows, and the shape says ${rows}`);
    }
    for (let row = 0; row < rows; row += 1) {
      const values: unknown = data[row];
      if (!Array.isArray(values) || values.length !== columns) {
        throw invalidTensor(`${INPUT_NAME}.data[${row}] must be an array of ${columns} numbers`);
      }
      readRow(values, 0, row, features, contract);
    }
    return features;
  }
  if (data.length !== features.length) {
    throw invalidTensor(
      `${INPUT_NAME}.data has ${data.length} values, and the shape says ${features.length}`,
    );
  }
  for (let row = 0; row < rows; row += 1) readRow(data, row * columns, row, features, contract);
  return features;
}

function readRow(
  values: readonly unknown[],
  offset: number,
  row: number,
  features: Float32Array,
  { names, mins, maxs }: InputContract,
): void {
  const columns = names.length;
  const target = row * columns;
  for (let column = 0; column < columns; column += 1) {
    const value = values[offset + column];
    if (typeof value !== 'number')
      throw invalidValue(names, row, column, `must be a number, not ${show(value)}`);
    const min = mins[column] as number;
    const max = maxs[column] as number;
    if (value < min || value > max) {
      throw invalidValue(names, row, column, `must be ${range(min, max)}, not ${value}`);
    }
    // 1e999 in JSON is Infinity, and 1e39 is more than a float32 holds.
    const narrow = Math.fround(value);
    if (!Number.isFinite(narrow)) throw invalidValue(names, row, column, `does not fit FP32: ${value}`);
    features[target + column] = narrow;
  }
}

function invalidValue(names: readonly string[], row: number, column: number, reason: string): SlipwayError {
  return invalidTensor(`${INPUT_NAME}, row ${row}, feature "${names[column]}": ${reason}`);
}

function invalid(message: string): SlipwayError {
  return new SlipwayError('INVALID_REQUEST', message);
}

function invalidTensor(message: string): SlipwayError {
  return new SlipwayError('INVALID_TENSOR', message);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What the caller sent, short. Not whole: an array may be nested deeper than the stack allows to print. */
function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (isObject(value)) return 'an object';
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function range(min: number, max: number): string {
  if (min === -Infinity) return `at most ${max}`;
  return max === Infinity ? `at least ${min}` : `from ${min} to ${max}`;
}

/**
 * The input tensors of a request, checked against the endpoint's contract and brought into the model's form: the
 * matrix `features`, or a tensor for each feature, and the keys of the online features.
 */
import { decodeBinary } from './tensor-binary.ts';
import { decodeJson } from './tensor-json.ts';
import { MATRIX_NAME } from './input-contract.ts';
import type { InputContract, NamedInput } from './input-contract.ts';
import { invalid, invalidTensor, isObject, MAX_TEXT, refuseDeepMembers, show } from './refusal.ts';
import { checkParameters } from './request-parameters.ts';
import { checkShape, elementCount, elementName, isDatatype, isInteger } from './tensor-datatype.ts';
import type { Datatype, NumericValues, TensorName, TensorValues } from './tensor-datatype.ts';

export interface Inputs {
  /** Row-major [rows, every column of the model]; NaN where the online store supplies the column. */
  readonly features: Float32Array;
  readonly rows: number;
  /** By entity, one key for each row; null when the contract has no entities. */
  readonly keys: ReadonlyMap<string, readonly string[]> | null;
}

const INPUT_MEMBERS = new Set(['name', 'datatype', 'shape', 'data', 'parameters']);
const UNSUPPORTED = ['shared_memory_region'];
const NO_BYTES = Buffer.alloc(0);

/**
 * @param bytes what follows the JSON in the body; null when the caller did not say that anything does
 * @throws SlipwayError `INVALID_REQUEST` or `INVALID_TENSOR`
 */
export function readInputs(inputs: unknown, bytes: Buffer | null, contract: InputContract): Inputs {
  if (!Array.isArray(inputs)) throw invalidTensor(`inputs must be an array of tensors, not ${show(inputs)}`);
  const first: unknown = inputs[0];
  if (contract.plain && bytes === null && inputs.length === 1 && isPlainMatrix(first)) {
    refuseDeepMembers(first, INPUT_MEMBERS, `${MATRIX_NAME}: `);
    const rows = matrixRows(first['shape'], contract);
    return { features: readMatrix(first['data'], rows, contract), rows, keys: null };
  }
  const reader = new InputReader(contract, bytes ?? NO_BYTES, bytes !== null);
  for (let index = 0; index < inputs.length; index += 1) reader.read(inputs[index], index);
  return reader.finish();
}

/** The whole body is the matrix: no JSON says how many rows it has. */
export function readRawMatrix(body: Buffer, contract: InputContract): Inputs {
  const columns = contract.supplied.length;
  if (contract.entities.length > 0) {
    throw invalidTensor(
      `a raw request has no room for the keys ${contract.entities.map(show).join(', ')}; send JSON before the tensors`,
    );
  }
  const rowBytes = columns * 4;
  const rows = body.length / rowBytes;
  if (rows < 1 || !Number.isInteger(rows)) {
    throw invalidTensor(
      `a raw request has ${rowBytes} bytes for each row (${columns} features, FP32), not ${body.length} in all`,
    );
  }
  checkRows(rows, MATRIX_NAME, contract);
  const reader = new InputReader(contract, body, true);
  reader.read(
    {
      name: MATRIX_NAME,
      datatype: 'FP32',
      shape: [rows, columns],
      parameters: { binary_data_size: body.length },
    },
    0,
  );
  return reader.finish();
}

function isPlainMatrix(input: unknown): input is Record<string, unknown> {
  return (
    isObject(input) &&
    input['name'] === MATRIX_NAME &&
    input['datatype'] === 'FP32' &&
    input['parameters'] === undefined
  );
}

/** Reads tensor after tensor; the first one says how many rows there are. */
class InputReader {
  readonly #contract: InputContract;
  readonly #bytes: Buffer;
  readonly #hasBytes: boolean;
  #offset = 0;
  #rows = 0;
  #firstName = '';
  #features: Float32Array | null = null;
  readonly #seen = new Set<string>();
  #namedColumns = 0;
  readonly #keys = new Map<string, readonly string[]>();

  constructor(contract: InputContract, bytes: Buffer, hasBytes: boolean) {
    this.#contract = contract;
    this.#bytes = bytes;
    this.#hasBytes = hasBytes;
  }

  read(input: unknown, index: number): void {
    const where = `inputs[${index}]`;
    if (!isObject(input)) throw invalidTensor(`${where} must be an object, not ${show(input)}`);
    const { name, datatype } = input;
    if (typeof name !== 'string') throw invalidTensor(`${where}.name must be a string, not ${show(name)}`);
    const named = name === MATRIX_NAME ? null : this.#contract.named.get(name);
    if (named === undefined) throw this.#unknown(name, where);
    if (named === null && this.#contract.supplied.length === 0) {
      throw invalidTensor(`${where}: every feature comes from the feature store; send only the keys`);
    }
    if (this.#seen.has(name)) throw invalidTensor(`${where}: ${show(name)} is there twice`);
    if (named?.kind !== 'entity') this.#refuseMixture(name, where);
    this.#seen.add(name);
    refuseDeepMembers(input, INPUT_MEMBERS, `${name}: `);
    if (!isDatatype(datatype)) {
      throw invalidTensor(`${name}.datatype must be one of the V2 protocol, not ${show(datatype)}`);
    }
    checkDatatype(named, datatype, name);
    if (named === null) this.#readMatrix(input, datatype);
    else this.#readNamed(input, datatype, named);
  }

  finish(): Inputs {
    const { names, supplied, entities } = this.#contract;
    const isMatrix = this.#seen.has(MATRIX_NAME);
    if (!isMatrix && this.#namedColumns < supplied.length) {
      if (this.#namedColumns === 0) throw invalidTensor(`inputs: the tensor "${MATRIX_NAME}" is missing`);
      const missing = supplied.find((column) => !this.#seen.has(names[column] as string)) as number;
      throw invalidTensor(`inputs: the tensor of the feature ${show(names[missing])} is missing`);
    }
    const key = entities.find((entity) => !this.#keys.has(entity));
    if (key !== undefined) throw invalidTensor(`inputs: the tensor ${show(key)}, a key, is missing`);
    if (this.#rows === 0) throw invalidTensor('inputs: there is no tensor');
    const left = this.#bytes.length - this.#offset;
    if (left > 0) throw invalidTensor(`inputs: the body goes on for ${left} bytes after the last tensor`);
    return {
      features: this.#matrix(),
      rows: this.#rows,
      keys: entities.length === 0 ? null : this.#keys,
    };
  }

  #readMatrix(input: Record<string, unknown>, datatype: Datatype): void {
    const { matrix, supplied } = this.#contract;
    const rows = matrixRows(input['shape'], this.#contract);
    this.#agree(rows, MATRIX_NAME);
    const values = this.#values(matrix, datatype, [rows, supplied.length], input);
    this.#place(values as NumericValues | Float64Array, supplied, matrix);
  }

  #readNamed(input: Record<string, unknown>, datatype: Datatype, named: NamedInput): void {
    const { tensor } = named;
    const { shape } = input;
    checkShape(shape, tensor.name);
    const [rows = 0, width = 1] = shape;
    if (shape.length > 2 || width !== 1) {
      throw invalidTensor(`${tensor.name}.shape must be [rows] or [rows, 1], not ${showShape(shape)}`);
    }
    checkRows(rows, tensor.name, this.#contract);
    this.#agree(rows, tensor.name);
    const values = this.#values(tensor, datatype, shape, input);
    if (named.kind === 'entity') {
      this.#keys.set(tensor.name, keysOf(tensor, values));
    } else {
      this.#place(values as NumericValues, [named.column], tensor);
      this.#namedColumns += 1;
    }
  }

  /** Every tensor has the rows of the first. */
  #agree(rows: number, name: string): void {
    if (this.#rows === 0) {
      this.#rows = rows;
      this.#firstName = name;
    } else if (rows !== this.#rows) {
      throw invalidTensor(`${name}.shape[0] is ${rows}, and ${show(this.#firstName)} has ${this.#rows} rows`);
    }
  }

  #values(
    tensor: TensorName,
    datatype: Datatype,
    shape: readonly number[],
    input: Record<string, unknown>,
  ): TensorValues {
    const { data, parameters } = input;
    const size = this.#binarySize(parameters, `${tensor.name}.parameters`);
    if (size === undefined) return decodeJson(tensor, datatype, shape, data);
    if (data !== undefined) {
      throw invalidTensor(`${tensor.name} has data and parameters.binary_data_size; send one of them`);
    }
    const start = this.#offset;
    this.#offset += size;
    if (this.#offset > this.#bytes.length) {
      throw invalidTensor(
        `${tensor.name}.parameters.binary_data_size is ${size}, and ${this.#bytes.length - start} bytes are left of the body`,
      );
    }
    return decodeBinary(tensor, datatype, elementCount(shape), this.#bytes.subarray(start, this.#offset));
  }

  #binarySize(parameters: unknown, where: string): number | undefined {
    if (parameters === undefined) return undefined;
    if (!isObject(parameters)) throw invalid(`${where} must be an object, not ${show(parameters)}`);
    checkParameters(parameters, where, UNSUPPORTED);
    const size = parameters['binary_data_size'];
    if (size === undefined) return undefined;
    if (!Number.isSafeInteger(size) || (size as number) < 0) {
      throw invalidTensor(`${where}.binary_data_size must be a whole number, not ${show(size)}`);
    }
    if (!this.#hasBytes) {
      throw invalid(
        `${where}.binary_data_size needs the header Inference-Header-Content-Length, which says where the JSON ends`,
      );
    }
    return size as number;
  }

  #matrix(): Float32Array {
    if (this.#features === null) {
      const { names, plain } = this.#contract;
      this.#features = new Float32Array(this.#rows * names.length);
      if (!plain) this.#features.fill(NaN);
    }
    return this.#features;
  }

  /** Puts the tensor's columns where the model has them, each value within its feature's range. */
  #place(values: NumericValues, columns: ArrayLike<number>, tensor: TensorName): void {
    const { names, mins, maxs } = this.#contract;
    const features = this.#matrix();
    const width = columns.length;
    for (let row = 0, index = 0; row < this.#rows; row += 1) {
      const target = row * names.length;
      for (let position = 0; position < width; position += 1, index += 1) {
        const column = columns[position] as number;
        const value = Number(values[index]);
        const narrow = Math.fround(value);
        const min = mins[column] as number;
        const max = maxs[column] as number;
        // NaN is neither, so that it has to be asked for by itself.
        if (value < min || value > max || !Number.isFinite(narrow)) {
          throw invalidTensor(`${elementName(tensor, index)}: ${valueProblem(value, min, max)}`);
        }
        features[target + column] = narrow;
      }
    }
  }

  #unknown(name: string, where: string): Error {
    const { entities, names, supplied } = this.#contract;
    const keys = entities.map((entity) => `, the key ${show(entity)}`).join('');
    if (names.includes(name)) {
      return invalidTensor(`${where}.name: ${show(name)} comes from the feature store, not from the request`);
    }
    return invalidTensor(
      `${where}.name: an input is "${MATRIX_NAME}" or one of its ${supplied.length} features${keys}, not ${show(name)}`,
    );
  }

  /** A column that comes twice could come with two values. */
  #refuseMixture(name: string, where: string): void {
    if (name === MATRIX_NAME ? this.#namedColumns > 0 : this.#seen.has(MATRIX_NAME)) {
      throw invalidTensor(
        `${where}: send "${MATRIX_NAME}" with every feature, or a tensor for each, not both (${show(name)})`,
      );
    }
  }
}

function checkDatatype(named: NamedInput | null, datatype: Datatype, name: string): void {
  if (named?.kind === 'entity') {
    if (datatype === 'BYTES' || isInteger(datatype)) return;
    throw invalidTensor(`${name}.datatype must be BYTES or an integer type, not "${datatype}"`);
  }
  if (datatype === 'BYTES' || (datatype === 'BOOL' && named === null)) {
    throw invalidTensor(
      `${name}.datatype must be numeric${named === null ? '' : ' or BOOL'}, not "${datatype}"`,
    );
  }
}

/** What a key is looked up by: the text, or the integer in decimal. */
function keysOf(tensor: TensorName, values: TensorValues): readonly string[] {
  return Array.from(values as ArrayLike<string | number | bigint>, (value, row) => {
    const key = String(value);
    if (key.length > MAX_TEXT) {
      throw invalidTensor(`${elementName(tensor, row)}: a key has at most ${MAX_TEXT} characters`);
    }
    // PostgreSQL has no text with it.
    if (key.includes('\0')) throw invalidTensor(`${elementName(tensor, row)}: a key has no U+0000 in it`);
    return key;
  });
}

function matrixRows(shape: unknown, contract: InputContract): number {
  const columns = contract.supplied.length;
  if (!Array.isArray(shape) || shape.length !== 2) {
    throw invalidTensor(`${MATRIX_NAME}.shape must be [rows, ${columns}], not ${showShape(shape)}`);
  }
  const rows: unknown = shape[0];
  if (!Number.isSafeInteger(rows) || (rows as number) < 1) {
    throw invalidTensor(`${MATRIX_NAME}.shape[0] must be a whole number of at least 1, not ${show(rows)}`);
  }
  if (shape[1] !== columns) {
    throw invalidTensor(
      `${MATRIX_NAME}.shape[1] must be ${columns}, one for each feature, not ${show(shape[1])}`,
    );
  }
  checkRows(rows as number, MATRIX_NAME, contract);
  return rows as number;
}

function checkRows(rows: number, name: string, { maxRows }: InputContract): void {
  if (rows > maxRows) {
    throw invalidTensor(`${name}.shape[0]: at most ${maxRows} rows in one request, not ${rows}`);
  }
}

/** FP32 in JSON with every column: flat in row-major order, or one array for each row, straight into its place. */
function readMatrix(data: unknown, rows: number, contract: InputContract): Float32Array {
  if (!Array.isArray(data)) throw invalidTensor(`${MATRIX_NAME}.data must be an array of numbers`);
  const columns = contract.names.length;
  if (!Array.isArray(data[0])) {
    if (data.length !== rows * columns) {
      throw invalidTensor(
        `${MATRIX_NAME}.data has ${data.length} values, and the shape says ${rows * columns}`,
      );
    }
    const features = new Float32Array(rows * columns);
    for (let row = 0; row < rows; row += 1) readRow(data, row * columns, row, features, contract);
    return features;
  }
  if (data.length !== rows) {
    throw invalidTensor(`${MATRIX_NAME}.data has ${data.length} rows, and the shape says ${rows}`);
  }
  const features = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row += 1) {
    const values: unknown = data[row];
    if (!Array.isArray(values) || values.length !== columns) {
      throw invalidTensor(`${MATRIX_NAME}.data[${row}] must be an array of ${columns} numbers`);
    }
    readRow(values, 0, row, features, contract);
  }
  return features;
}

function readRow(
  values: readonly unknown[],
  offset: number,
  row: number,
  features: Float32Array,
  { names, mins, maxs, matrix }: InputContract,
): void {
  const columns = names.length;
  const target = row * columns;
  for (let column = 0; column < columns; column += 1) {
    const value = values[offset + column];
    if (typeof value !== 'number') {
      throw invalidTensor(`${elementName(matrix, target + column)}: must be a number, not ${show(value)}`);
    }
    const min = mins[column] as number;
    const max = maxs[column] as number;
    const narrow = Math.fround(value);
    if (value < min || value > max || !Number.isFinite(narrow)) {
      throw invalidTensor(`${elementName(matrix, target + column)}: ${valueProblem(value, min, max)}`);
    }
    features[target + column] = narrow;
  }
}

function valueProblem(value: number, min: number, max: number): string {
  if (value < min || value > max) return `must be ${range(min, max)}, not ${value}`;
  // 1e999 in JSON is Infinity, and 1e39 is more than a float32 holds.
  return Number.isFinite(value) ? `does not fit FP32: ${value}` : `must be a finite number, not ${value}`;
}

function range(min: number, max: number): string {
  if (min === -Infinity) return `at most ${max}`;
  return max === Infinity ? `at least ${min}` : `from ${min} to ${max}`;
}

function showShape(shape: unknown): string {
  if (!Array.isArray(shape) || shape.length > 8) return show(shape);
  return `[${shape.map(show).join(', ')}]`;
}

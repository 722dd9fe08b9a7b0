/**
 * The contract between Slipway and a trainer (`docs/reference/trainer-contract.md`): what a trainer is given, what it
 * says while it works, what it leaves behind. Pure: the launcher reads the files, this decides about them.
 */
import type { ParameterValue } from '../manifest/model-manifest.ts';
import type { Problem } from '../errors.ts';

export const TRAINER_CONTRACT = 1;

/** Exit codes with a meaning; every other one but 0 means "try again". */
export const TRAINER_EXIT = { done: 0, badInput: 64, stopped: 75 } as const;

export interface TrainerJob {
  readonly jobId: string;
  /** Parquet file with `row_number`, `event_time`, the features and the target, in time order. */
  readonly data: string;
  /** The model's whole input, in the order of the manifest. */
  readonly features: readonly string[];
  readonly target: string;
  readonly parameters: Readonly<Record<string, ParameterValue>>;
  readonly seed: number;
  readonly outputFolder: string;
  readonly checkpointFolder: string;
}

export type TrainerLogLevel = 'debug' | 'info' | 'warning' | 'error';

export type TrainerEvent =
  | { readonly event: 'progress'; readonly fraction: number; readonly message: string }
  | { readonly event: 'metric'; readonly name: string; readonly value: number; readonly step?: number }
  | { readonly event: 'checkpoint'; readonly path: string; readonly step: number }
  | { readonly event: 'log'; readonly level: TrainerLogLevel; readonly message: string };

export interface TrainerResult {
  readonly contract: number;
  readonly jobId: string;
  readonly trainer: { readonly name: string; readonly version: string };
  readonly seed: number;
  /** Every parameter with the value that was used. */
  readonly parameters: Readonly<Record<string, ParameterValue>>;
  readonly features: readonly string[];
  readonly rows: { readonly train: number; readonly heldOut: number };
  /** Python and package versions, or whatever decides the result besides code, data, parameters and seed. */
  readonly environment: Readonly<Record<string, unknown>>;
  readonly files: Readonly<Record<string, { readonly sha256: string; readonly size: number }>>;
}

export const OUTPUT_FILES = ['model.onnx', 'metrics.json', 'predictions.parquet'] as const;
export type OutputFile = (typeof OUTPUT_FILES)[number];

/**
 * One line of standard output. Text that is no JSON object is a log line: a library that prints must not cost a run of
 * hours. An object that is no event of the contract is a mistake of the trainer and gives the reason.
 */
export function parseEvent(line: string): TrainerEvent | { readonly problem: string } {
  const value = parseObject(line);
  if (value === null) return { event: 'log', level: 'info', message: line };
  switch (value['event']) {
    case 'progress':
      return typeof value['fraction'] === 'number' &&
        value['fraction'] >= 0 &&
        value['fraction'] <= 1 &&
        typeof value['message'] === 'string'
        ? { event: 'progress', fraction: value['fraction'], message: value['message'] }
        : { problem: 'progress needs a fraction from 0 to 1 and a message' };
    case 'metric':
      if (typeof value['name'] !== 'string' || !isFiniteNumber(value['value'])) {
        return { problem: 'metric needs a name and a finite value' };
      }
      return isStep(value['step'])
        ? { event: 'metric', name: value['name'], value: value['value'], step: value['step'] }
        : { event: 'metric', name: value['name'], value: value['value'] };
    case 'checkpoint':
      return typeof value['path'] === 'string' && isStep(value['step'])
        ? { event: 'checkpoint', path: value['path'], step: value['step'] }
        : { problem: 'checkpoint needs a path and a step' };
    case 'log':
      return isLevel(value['level']) && typeof value['message'] === 'string'
        ? { event: 'log', level: value['level'], message: value['message'] }
        : { problem: 'log needs a level (debug, info, warning, error) and a message' };
    default:
      return { problem: `unknown event ${JSON.stringify(value['event'] ?? null)}` };
  }
}

/** What the launcher found in the output folder. */
export interface TrainerOutput {
  /** Contents of `result.json`, parsed; undefined when it is missing or no JSON. */
  readonly result: unknown;
  readonly metrics: unknown;
  /** Digest and size of the files that are there. */
  readonly files: Readonly<Partial<Record<OutputFile, { readonly sha256: string; readonly size: number }>>>;
}

export type CheckedOutput =
  | { readonly ok: true; readonly result: TrainerResult; readonly metrics: Readonly<Record<string, number>> }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Whether a trainer that exited 0 has left what the contract asks for. Every problem is listed. */
export function checkTrainerOutput(job: TrainerJob, output: TrainerOutput): CheckedOutput {
  const problems: Problem[] = [];
  for (const name of OUTPUT_FILES) {
    const found = output.files[name];
    if (found === undefined) problems.push({ file: name, path: '', reason: 'is missing' });
    else if (found.size === 0) problems.push({ file: name, path: '', reason: 'is empty' });
  }
  const result = checkResult(job, output, problems);
  const metrics = checkMetrics(output.metrics, problems);
  if (result === null || metrics === null || problems.length > 0) return { ok: false, problems };
  return { ok: true, result, metrics };
}

function checkResult(job: TrainerJob, output: TrainerOutput, problems: Problem[]): TrainerResult | null {
  const file = 'result.json';
  const wrong = (path: string, reason: string): void => {
    problems.push({ file, path, reason });
  };
  const { result } = output;
  if (!isObject(result)) {
    wrong('', 'is missing or not a JSON object');
    return null;
  }
  if (result['contract'] !== TRAINER_CONTRACT) wrong('/contract', `must be ${TRAINER_CONTRACT}`);
  if (result['jobId'] !== job.jobId) wrong('/jobId', 'is of another job');
  if (result['seed'] !== job.seed) wrong('/seed', 'is not the seed of the job');
  if (JSON.stringify(result['features']) !== JSON.stringify(job.features)) {
    wrong('/features', 'are not the features of the job in their order');
  }
  const { trainer, rows, files } = result;
  if (!isObject(trainer) || typeof trainer['name'] !== 'string' || typeof trainer['version'] !== 'string') {
    wrong('/trainer', 'needs a name and a version');
  }
  for (const part of ['train', 'heldOut']) {
    if (!isObject(rows) || !isStep(rows[part]) || rows[part] === 0)
      wrong(`/rows/${part}`, 'must be a positive count');
  }
  for (const key of ['parameters', 'environment']) {
    if (!isObject(result[key])) wrong(`/${key}`, 'must be an object');
  }
  for (const name of OUTPUT_FILES) {
    const found = output.files[name];
    const stated = isObject(files) ? files[name] : undefined;
    if (found === undefined || found.size === 0) continue;
    if (!isObject(stated) || stated['sha256'] !== found.sha256 || stated['size'] !== found.size) {
      wrong(`/files/${name}`, 'does not state the digest and size of the file');
    }
  }
  // Every field was looked at above; with problems the caller never sees it.
  return result as unknown as TrainerResult;
}

function checkMetrics(metrics: unknown, problems: Problem[]): Readonly<Record<string, number>> | null {
  const file = 'metrics.json';
  if (!isObject(metrics)) {
    problems.push({ file, path: '', reason: 'is missing or not a JSON object' });
    return null;
  }
  const entries = Object.entries(metrics);
  if (entries.length === 0) problems.push({ file, path: '', reason: 'has no metric' });
  const checked: Record<string, number> = {};
  for (const [name, value] of entries) {
    if (isFiniteNumber(value)) checked[name] = value;
    else problems.push({ file, path: `/${name}`, reason: 'must be a finite number' });
  }
  return checked;
}

function parseObject(line: string): Record<string, unknown> | null {
  if (!line.startsWith('{')) return null;
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) ? value : null;
  } catch {
    // Not JSON: text that happens to begin with a brace.
    return null;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isFiniteNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

function isStep(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isLevel(value: unknown): value is TrainerLogLevel {
  return value === 'debug' || value === 'info' || value === 'warning' || value === 'error';
}

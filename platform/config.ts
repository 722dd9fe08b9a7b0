import { existsSync } from 'node:fs';
import { homedir, hostname } from 'node:os';
import { dirname, isAbsolute, join, resolve } from 'node:path';

import { SlipwayError } from '../domain/errors.ts';
import type { Problem } from '../domain/errors.ts';
import { CONFIG_KEYS } from './config-keys.ts';
import type { ConfigKey, ConfigKeyName, LOG_LEVELS } from './config-keys.ts';

/**
 * The only reader of `process.env`. Each process reads its configuration once, at its start, as a frozen object;
 * every problem is reported together, so that a wrong deployment is mended in one go.
 */

export type Environment = Readonly<Record<string, string | undefined>>;

/** Which keys a process needs: `{ portApi: 'SLIPWAY_API_PORT' }`. */
type Schema = Readonly<Record<string, ConfigKeyName>>;

type Row<K extends ConfigKeyName> = (typeof CONFIG_KEYS)[K];
type Parsed<R> = R extends { type: 'integer' | 'port' }
  ? number
  : R extends { type: 'flag' }
    ? boolean
    : R extends { choices: readonly (infer C)[] }
      ? C
      : string;
type Value<K extends ConfigKeyName> =
  Row<K> extends { default: unknown } ? Parsed<Row<K>> : Parsed<Row<K>> | undefined;
export type Config<S extends Schema> = { readonly [P in keyof S]: Value<S[P]> };

const FLAGS: Readonly<Record<string, boolean>> = { '1': true, true: true, '0': false, false: false };

function parseInteger(text: string, min: number, max: number): number | string {
  const value = /^-?\d+$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(value) && value >= min && value <= max
    ? value
    : `must be a whole number from ${min} to ${max}, not "${text}"`;
}

/** The value, or the sentence that says what is wrong with it. */
function parse(key: ConfigKey, text: string): { value: string | number | boolean } | { reason: string } {
  const of = (result: number | string): { value: number } | { reason: string } =>
    typeof result === 'number' ? { value: result } : { reason: result };
  switch (key.type) {
    case 'integer':
      return of(parseInteger(text, key.min, key.max));
    case 'port':
      return of(parseInteger(text, 1, 65_535));
    case 'flag': {
      const value = FLAGS[text.toLowerCase()];
      return value === undefined ? { reason: `must be 1, true, 0 or false, not "${text}"` } : { value };
    }
    case 'choice':
      return key.choices.includes(text)
        ? { value: text }
        : { reason: `must be one of ${key.choices.join(', ')}, not "${text}"` };
    case 'url':
      // The value is not repeated: a database URL holds a password.
      return URL.canParse(text) ? { value: text } : { reason: 'must be a URL such as http://host:port/path' };
    case 'address':
      return /^(\[[0-9a-f:]+\]|[^\s:/]+):\d{1,5}$/i.test(text)
        ? { value: text }
        : { reason: `must be host:port, not "${text}"` };
    case 'path':
      return { value: isAbsolute(text) ? text : resolve(text) };
    case 'text':
      return { value: text };
  }
}

/**
 * Reads the keys of `schema`; those in `required` must be set. An empty variable counts as not set.
 * @throws SlipwayError CONFIG_INVALID with every problem.
 */
export function readConfig<S extends Schema, R extends keyof S = never>(
  schema: S,
  env: Environment = process.env,
  required: readonly R[] = [],
): Config<S> & { readonly [P in R]: NonNullable<Config<S>[P]> } {
  const problems: Problem[] = [];
  const config: Record<string, unknown> = {};
  const mustBeSet: readonly PropertyKey[] = required;
  for (const [property, name] of Object.entries(schema)) {
    const key: ConfigKey = CONFIG_KEYS[name];
    const text = env[name]?.trim();
    if (text === undefined || text === '') {
      config[property] = key.default;
      if (mustBeSet.includes(property)) problems.push({ path: `/${name}`, reason: 'must be set' });
      continue;
    }
    const parsed = parse(key, text);
    if ('value' in parsed) config[property] = parsed.value;
    else problems.push({ path: `/${name}`, reason: parsed.reason });
  }
  if (problems.length > 0) {
    const list = problems.map((p) => `${p.path.slice(1)} ${p.reason}`).join('; ');
    throw new SlipwayError(
      'CONFIG_INVALID',
      `Correct these environment variables and start again: ${list}. docs/reference/configuration.md lists them all.`,
      { problems },
    );
  }
  return Object.freeze(config) as Config<S> & { readonly [P in R]: NonNullable<Config<S>[P]> };
}

/** For child processes: what this process inherited, with changes; `undefined` removes a variable. */
export function inheritedEnvironment(
  changes: Readonly<Record<string, string | undefined>> = {},
): Record<string, string> {
  const merged = { ...process.env, ...changes };
  return Object.fromEntries(
    Object.entries(merged).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

/** As git finds its repository: commands work in any folder below the stack's. */
function nearestHome(from: string): string {
  for (let folder = from; ; folder = dirname(folder)) {
    const candidate = join(folder, '.slipway');
    if (existsSync(candidate)) return candidate;
    if (dirname(folder) === folder) return join(from, '.slipway');
  }
}

function defaultCache(xdgCacheHome: string | undefined): string {
  if (xdgCacheHome !== undefined) return join(xdgCacheHome, 'slipway');
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'slipway');
  if (process.platform === 'win32') return join(homedir(), 'AppData', 'Local', 'slipway', 'Cache');
  return join(homedir(), '.cache', 'slipway');
}

export interface StackPaths {
  readonly home: string;
  readonly cacheFolder: string;
}

export function stackPaths(env: Environment = process.env): StackPaths {
  const read = readConfig(
    { home: 'SLIPWAY_HOME', cacheFolder: 'SLIPWAY_CACHE', xdgCacheHome: 'XDG_CACHE_HOME' },
    env,
  );
  return Object.freeze({
    home: read.home ?? nearestHome(process.cwd()),
    cacheFolder: read.cacheFolder ?? defaultCache(read.xdgCacheHome),
  });
}

/** What the local stack may use instead of starting its own. */
export interface ExternalServices {
  readonly databaseUrl: string | undefined;
  readonly temporalAddress: string | undefined;
  readonly namespace: string;
  readonly python: string;
}

export function externalServices(env: Environment = process.env): ExternalServices {
  return readConfig(
    {
      databaseUrl: 'DATABASE_URL',
      temporalAddress: 'TEMPORAL_ADDRESS',
      namespace: 'TEMPORAL_NAMESPACE',
      python: 'SLIPWAY_PYTHON',
    },
    env,
  );
}

const DATABASE = { databaseUrl: 'DATABASE_URL' } as const;
const TEMPORAL = { temporalAddress: 'TEMPORAL_ADDRESS', namespace: 'TEMPORAL_NAMESPACE' } as const;
const PROCESS = {
  host: 'SLIPWAY_HOST',
  watchParent: 'SLIPWAY_WATCH_PARENT',
  timeoutMsShutdown: 'SLIPWAY_SHUTDOWN_MS',
} as const;

export interface DatabaseConfig {
  readonly databaseUrl: string;
}

export function databaseConfig(env: Environment = process.env): DatabaseConfig {
  return readConfig(DATABASE, env, ['databaseUrl']);
}

export interface TemporalConfig {
  readonly temporalAddress: string;
  readonly namespace: string;
}

export function temporalConfig(env: Environment = process.env): TemporalConfig {
  return readConfig(TEMPORAL, env, ['temporalAddress']);
}

/** What every long-running process of Slipway has. */
interface ProcessConfig {
  readonly host: string;
  readonly watchParent: boolean;
  readonly timeoutMsShutdown: number;
}

export interface GatewayConfig extends ProcessConfig, DatabaseConfig {
  readonly port: number;
  readonly home: string;
  readonly gatewayId: string;
  readonly flushMs: number;
  readonly pollMs: number;
  readonly maxBodyBytes: number;
  /** Of all segments of the prediction log; 0 for none. */
  readonly maxBytesPredictionLog: number;
  readonly modelControl: 'route' | 'explicit';
  readonly remoteConcurrency: number;
}

export function gatewayConfig(env: Environment = process.env): GatewayConfig {
  const read = readConfig(
    {
      ...PROCESS,
      ...DATABASE,
      port: 'SLIPWAY_GATEWAY_PORT',
      gatewayId: 'SLIPWAY_GATEWAY_ID',
      flushMs: 'SLIPWAY_GATEWAY_FLUSH_MS',
      pollMs: 'SLIPWAY_GATEWAY_POLL_MS',
      maxBodyBytes: 'SLIPWAY_GATEWAY_MAX_BODY_BYTES',
      maxBytesPredictionLog: 'SLIPWAY_PREDICTION_LOG_MAX_BYTES',
      modelControl: 'SLIPWAY_GATEWAY_MODEL_CONTROL',
      remoteConcurrency: 'SLIPWAY_GATEWAY_REMOTE_CONCURRENCY',
    },
    env,
    ['databaseUrl'],
  );
  const gatewayId = read.gatewayId ?? `${hostname()}:${read.port}`;
  return Object.freeze({ ...read, gatewayId, home: stackPaths(env).home });
}

/** Where online features are kept, and how long the gateway waits for them. */
export interface FeaturesConfig {
  /** Undefined: in the database. */
  readonly redisUrl: string | undefined;
  readonly timeoutMs: number;
  readonly refreshMs: number;
  readonly capacity: number;
}

export function featuresConfig(env: Environment = process.env): FeaturesConfig {
  return readConfig(
    {
      redisUrl: 'REDIS_URL',
      timeoutMs: 'SLIPWAY_FEATURES_TIMEOUT_MS',
      refreshMs: 'SLIPWAY_FEATURES_REFRESH_MS',
      capacity: 'SLIPWAY_FEATURES_CACHE_ROWS',
    },
    env,
  );
}

/** Where a gateway that is started by hand listens; the port only if somebody chose one. */
export interface GatewayPlace {
  readonly host: string;
  readonly port: number | undefined;
}

export function gatewayPlace(env: Environment = process.env): GatewayPlace {
  const { host, port } = readConfig({ host: 'SLIPWAY_HOST', port: 'SLIPWAY_GATEWAY_PORT' }, env);
  const isChosen = (env['SLIPWAY_GATEWAY_PORT'] ?? '').trim() !== '';
  return { host, port: isChosen ? port : undefined };
}

/** How many processes a gateway has, and when it has more. */
export interface GatewayProcessesConfig {
  readonly min: number;
  readonly max: number;
  readonly targetRps: number;
  readonly targetMsP99: number;
  readonly targetBusyPercent: number;
  readonly scaleMsUp: number;
  readonly scaleMsDown: number;
}

export function gatewayProcessesConfig(env: Environment = process.env): GatewayProcessesConfig {
  const read = readConfig(
    {
      min: 'SLIPWAY_GATEWAY_PROCESSES_MIN',
      max: 'SLIPWAY_GATEWAY_PROCESSES_MAX',
      targetRps: 'SLIPWAY_GATEWAY_TARGET_RPS',
      targetMsP99: 'SLIPWAY_GATEWAY_TARGET_P99_MS',
      targetBusyPercent: 'SLIPWAY_GATEWAY_TARGET_BUSY_PERCENT',
      scaleMsUp: 'SLIPWAY_GATEWAY_SCALE_UP_MS',
      scaleMsDown: 'SLIPWAY_GATEWAY_SCALE_DOWN_MS',
    },
    env,
  );
  if (read.max < read.min) {
    const reason = `must be at least SLIPWAY_GATEWAY_PROCESSES_MIN (${read.min}), not ${read.max}`;
    throw new SlipwayError(
      'CONFIG_INVALID',
      `Correct this environment variable and start again: SLIPWAY_GATEWAY_PROCESSES_MAX ${reason}.`,
      { problems: [{ path: '/SLIPWAY_GATEWAY_PROCESSES_MAX', reason }] },
    );
  }
  return read;
}

export interface ApiConfig extends ProcessConfig, DatabaseConfig, TemporalConfig {
  readonly port: number;
  readonly home: string;
}

export function apiConfig(env: Environment = process.env): ApiConfig {
  const read = readConfig({ ...PROCESS, ...DATABASE, ...TEMPORAL, port: 'SLIPWAY_API_PORT' }, env, [
    'databaseUrl',
    'temporalAddress',
  ]);
  return Object.freeze({ ...read, home: stackPaths(env).home });
}

export interface WorkerConfig extends ProcessConfig, DatabaseConfig, TemporalConfig {
  readonly metricsPort: number;
  readonly home: string;
  readonly cacheFolder: string;
  readonly python: string;
  readonly slotsControl: number;
  readonly slotsTrain: number;
}

export function workerConfig(env: Environment = process.env): WorkerConfig {
  const read = readConfig(
    {
      ...PROCESS,
      ...DATABASE,
      ...TEMPORAL,
      metricsPort: 'SLIPWAY_WORKER_METRICS_PORT',
      python: 'SLIPWAY_PYTHON',
      slotsControl: 'SLIPWAY_WORKER_CONTROL_SLOTS',
      slotsTrain: 'SLIPWAY_WORKER_TRAIN_SLOTS',
    },
    env,
    ['databaseUrl', 'temporalAddress'],
  );
  return Object.freeze({ ...read, ...stackPaths(env) });
}

export interface TelemetryConfig {
  readonly logLevel: (typeof LOG_LEVELS)[number];
  /** Undefined means that traces are not exported. */
  readonly otlpEndpoint: string | undefined;
}

export function telemetryConfig(env: Environment = process.env): TelemetryConfig {
  return readConfig({ logLevel: 'SLIPWAY_LOG_LEVEL', otlpEndpoint: 'OTEL_EXPORTER_OTLP_ENDPOINT' }, env);
}

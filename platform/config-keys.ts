/**
 * The one table of environment variables. `docs/reference/configuration.md` is held against it by a test, and
 * `platform/config.ts` refuses to read a key that is not here.
 *
 * Units are part of the name (`_MS`); a key without a unit is a name, an address, a count or a switch.
 */

interface KeyBase {
  /** What the key decides, in one sentence; the same words stand in the reference. */
  readonly meaning: string;
  /** How the default reads when it is computed rather than fixed. */
  readonly defaultText?: string;
}

export type ConfigKey = KeyBase &
  (
    | { readonly type: 'text' | 'path' | 'url' | 'address'; readonly default?: string }
    | { readonly type: 'integer'; readonly default?: number; readonly min: number; readonly max: number }
    | { readonly type: 'port'; readonly default?: number }
    | { readonly type: 'flag'; readonly default: boolean }
    | { readonly type: 'choice'; readonly default: string; readonly choices: readonly string[] }
  );

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

export const CONFIG_KEYS = {
  // Where things are kept
  SLIPWAY_HOME: {
    type: 'path',
    defaultText: 'the nearest `.slipway` folder at or above the current folder, else a new one in it',
    meaning: 'Folder of one stack: its data, keys, logs and `stack.json`.',
  },
  SLIPWAY_CACHE: {
    type: 'path',
    defaultText: "`slipway` in the user's cache folder",
    meaning: 'Folder for what all stacks of a user share: the Temporal binary and the Python environment.',
  },
  XDG_CACHE_HOME: {
    type: 'path',
    meaning: "The user's cache folder where the system's convention is not followed.",
  },

  // What a process talks to
  DATABASE_URL: {
    type: 'url',
    meaning: 'PostgreSQL to use; when it is not set, the local stack starts its own.',
  },
  TEMPORAL_ADDRESS: {
    type: 'address',
    meaning: 'Temporal frontend (`host:port`) to use; when it is not set, the local stack starts its own.',
  },
  TEMPORAL_NAMESPACE: { type: 'text', default: 'default', meaning: 'Temporal namespace of the workflows.' },
  SLIPWAY_PYTHON: {
    type: 'text',
    default: 'python3',
    meaning: "Python (3.10 or newer) that the trainers' virtual environment is made from.",
  },

  // API
  SLIPWAY_HOST: {
    type: 'text',
    default: '127.0.0.1',
    meaning: 'Address that the API, the gateway and the metrics ports are bound to.',
  },
  SLIPWAY_API_PORT: { type: 'port', default: 8300, meaning: 'Port of the HTTP API.' },

  // Gateway
  SLIPWAY_GATEWAY_PORT: { type: 'port', default: 8301, meaning: 'Port of the inference gateway.' },
  SLIPWAY_GATEWAY_ID: {
    type: 'text',
    defaultText: '`<host name>:<port>`',
    meaning: 'Name under which this gateway acknowledges routes; unique among the gateways that live.',
  },
  SLIPWAY_GATEWAY_FLUSH_MS: {
    type: 'integer',
    default: 1000,
    min: 50,
    max: 60_000,
    meaning: 'How often the gateway writes its arm windows and prediction log.',
  },
  SLIPWAY_GATEWAY_POLL_MS: {
    type: 'integer',
    default: 1000,
    min: 50,
    max: 60_000,
    meaning: 'How often the gateway asks for routes besides being notified of them.',
  },
  SLIPWAY_GATEWAY_MAX_BODY_BYTES: {
    type: 'integer',
    default: 8_388_608,
    min: 1024,
    max: 1_073_741_824,
    meaning: 'Largest inference request body.',
  },
  SLIPWAY_GATEWAY_REMOTE_CONCURRENCY: {
    type: 'integer',
    default: 4,
    min: 1,
    max: 256,
    meaning: 'Batches that the gateway has under way at once in the server of a version that runs elsewhere.',
  },
  SLIPWAY_GATEWAY_MODEL_CONTROL: {
    type: 'choice',
    choices: ['route', 'explicit'],
    default: 'route',
    meaning:
      'Who decides what is loaded: the route alone, or also callers of the V2 repository extension (one process only).',
  },
  SLIPWAY_GATEWAY_PROCESSES_MIN: {
    type: 'integer',
    default: 1,
    min: 1,
    max: 256,
    meaning: 'Fewest gateway processes behind the port.',
  },
  SLIPWAY_GATEWAY_PROCESSES_MAX: {
    type: 'integer',
    default: 1,
    min: 1,
    max: 256,
    meaning: 'Most gateway processes behind the port; with 1 there is no process above the gateway.',
  },
  SLIPWAY_GATEWAY_TARGET_RPS: {
    type: 'integer',
    default: 5000,
    min: 1,
    max: 1_000_000,
    meaning: 'Requests per second of one gateway process above which another is started.',
  },
  SLIPWAY_GATEWAY_TARGET_P99_MS: {
    type: 'integer',
    default: 50,
    min: 1,
    max: 60_000,
    meaning: 'p99 latency of a gateway process above which another is started.',
  },
  SLIPWAY_GATEWAY_TARGET_BUSY_PERCENT: {
    type: 'integer',
    default: 70,
    min: 5,
    max: 95,
    meaning: 'Event-loop utilisation of a gateway process above which another is started.',
  },
  SLIPWAY_GATEWAY_SCALE_UP_MS: {
    type: 'integer',
    default: 5000,
    min: 0,
    max: 3_600_000,
    meaning: 'How long the load must ask for more gateway processes before they are started.',
  },
  SLIPWAY_GATEWAY_SCALE_DOWN_MS: {
    type: 'integer',
    default: 60_000,
    min: 0,
    max: 3_600_000,
    meaning: 'How long the load must do with fewer gateway processes before one is stopped.',
  },
  SLIPWAY_PREDICTION_LOG_MAX_BYTES: {
    type: 'integer',
    default: 1_073_741_824,
    min: 0,
    max: 1_099_511_627_776,
    meaning:
      'Size of all prediction log segments of a gateway, beyond which the oldest are deleted; 0 writes none.',
  },

  // Online features
  REDIS_URL: {
    type: 'url',
    meaning: 'Redis that holds the online features; they are kept in PostgreSQL when it is not set.',
  },
  SLIPWAY_FEATURES_TIMEOUT_MS: {
    type: 'integer',
    default: 50,
    min: 1,
    max: 10_000,
    meaning:
      'How long a request waits for the online feature store, and at most half of the time that it has left.',
  },
  SLIPWAY_FEATURES_REFRESH_MS: {
    type: 'integer',
    default: 5000,
    min: 0,
    max: 3_600_000,
    meaning: 'How old an answer of the online feature store may be before the gateway asks again.',
  },
  SLIPWAY_FEATURES_CACHE_ROWS: {
    type: 'integer',
    default: 100_000,
    min: 1,
    max: 10_000_000,
    meaning: 'Rows of online features that a gateway process keeps in memory.',
  },

  // Workers
  SLIPWAY_WORKER_METRICS_PORT: {
    type: 'port',
    default: 8310,
    meaning: "Port of a worker's `/health` and `/metrics`.",
  },
  SLIPWAY_WORKER_CONTROL_SLOTS: {
    type: 'integer',
    default: 50,
    min: 1,
    max: 1000,
    meaning: 'Activities that a `control` worker runs at once.',
  },
  SLIPWAY_WORKER_TRAIN_SLOTS: {
    type: 'integer',
    default: 1,
    min: 1,
    max: 256,
    meaning: 'Training jobs that a `train` worker runs at once: its GPUs, or its cores divided by a job’s.',
  },

  // Lifecycle and telemetry
  SLIPWAY_WATCH_PARENT: {
    type: 'flag',
    default: false,
    meaning:
      'Stop when the parent process ends or closes standard input; the local stack sets it for its children.',
  },
  SLIPWAY_SHUTDOWN_MS: {
    type: 'integer',
    default: 10_000,
    min: 100,
    max: 600_000,
    meaning: 'How long a process may take to close everything before it leaves anyway.',
  },
  SLIPWAY_LOG_LEVEL: {
    type: 'choice',
    default: 'info',
    choices: LOG_LEVELS,
    meaning: 'Least severe level that is logged.',
  },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    type: 'url',
    meaning: 'OTLP/HTTP collector that traces are sent to; no traces are exported when it is not set.',
  },
} as const satisfies Record<string, ConfigKey>;

export type ConfigKeyName = keyof typeof CONFIG_KEYS;

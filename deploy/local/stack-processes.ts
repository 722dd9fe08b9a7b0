import type { ConfigKeyName } from '../../platform/config-keys.ts';
import { PREFERRED_PORTS } from './ports.ts';

/** What a process may be told of the stack that it is a part of. */
export interface StackAddresses {
  readonly temporalAddress: string;
  readonly namespace: string;
  readonly databaseUrl: string;
  readonly api: string;
  readonly gateway: string;
}

/**
 * One of Slipway's own processes. It gets its whole configuration through environment variables and answers
 * `GET /health/ready` with 200 on its port once it does its work.
 */
export interface StackProcess {
  readonly name: string;
  /** Compiled file, relative to the project's root. */
  readonly entry: string;
  readonly preferredPort: number;
  /** The variable that tells the process its port. */
  readonly portKey: ConfigKeyName;
  readonly env?: (addresses: StackAddresses) => Partial<Record<ConfigKeyName, string>>;
}

/** Started together, stopped last-first: the API lets no new release in before the workers leave. */
export const STACK_PROCESSES: readonly StackProcess[] = [
  {
    name: 'worker-control',
    entry: 'dist/workers/control.main.js',
    preferredPort: PREFERRED_PORTS.workerMetrics,
    portKey: 'SLIPWAY_WORKER_METRICS_PORT',
  },
  {
    name: 'worker-train',
    entry: 'dist/workers/train.main.js',
    preferredPort: PREFERRED_PORTS.workerMetrics + 1,
    portKey: 'SLIPWAY_WORKER_METRICS_PORT',
  },
  {
    name: 'gateway',
    entry: 'dist/serving/gateway.main.js',
    preferredPort: PREFERRED_PORTS.gateway,
    portKey: 'SLIPWAY_GATEWAY_PORT',
  },
  {
    name: 'api',
    entry: 'dist/api/api.main.js',
    preferredPort: PREFERRED_PORTS.api,
    portKey: 'SLIPWAY_API_PORT',
  },
];

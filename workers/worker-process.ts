/** What every worker process is made of: telemetry, the connection, health and metrics over HTTP, and an orderly end. */
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import type { WorkerOptions } from '@temporalio/worker';
import { Client, Connection } from '@temporalio/client';
import { domainErrors } from '../activities/edge.ts';
import { telemetryConfig } from '../platform/config.ts';
import type { WorkerConfig } from '../platform/config.ts';
import { startLifecycle } from '../platform/lifecycle.ts';
import type { Lifecycle } from '../platform/lifecycle.ts';
import { METRICS_CONTENT_TYPE, createLogger, startTelemetry } from '../platform/telemetry/index.ts';
import type { Logger, Telemetry } from '../platform/telemetry/index.ts';
import { freePort, temporalTracing } from '../platform/telemetry/temporal.ts';

export interface WorkerProcess {
  readonly config: WorkerConfig;
  readonly logger: Logger;
  readonly telemetry: Telemetry;
  readonly lifecycle: Lifecycle;
  readonly client: Client;
  /** For whatever bundles workflows: the bundle must know the same interceptors. */
  readonly plugins: NonNullable<WorkerOptions['plugins']>;
  /** Creates the worker, serves health and metrics, and runs until the process is told to stop. */
  run(
    options: Omit<WorkerOptions, 'connection' | 'namespace' | 'plugins' | 'interceptors' | 'identity'>,
  ): Promise<void>;
}

export async function startWorkerProcess(role: string, config: WorkerConfig): Promise<WorkerProcess> {
  const { logLevel, otlpEndpoint } = telemetryConfig();
  const service = `slipway-worker-${role}`;
  const telemetry = startTelemetry({ service, otlpEndpoint, sampleRatio: 1 });
  const logger = createLogger(service, logLevel);
  const lifecycle = startLifecycle({ ...config, log: (message) => logger.info(message) });
  const corePort = await freePort(config.host);
  Runtime.install({
    logger: new DefaultLogger('WARN', ({ level, message, meta }) => {
      logger[level === 'ERROR' ? 'error' : 'warn']({ temporal: meta }, message);
    }),
    telemetryOptions: {
      metrics: { prometheus: { bindAddress: `${config.host}:${corePort}`, countersTotalSuffix: true } },
    },
    // The lifecycle decides when to stop.
    shutdownSignals: [],
  });
  lifecycle.onShutdown('telemetry', () => telemetry.shutdown());
  const plugins = [temporalTracing(telemetry)];
  const connection = await Connection.connect({ address: config.temporalAddress });
  lifecycle.onShutdown('temporal client', () => connection.close());
  const client = new Client({ connection, namespace: config.namespace, plugins });

  return {
    config,
    logger,
    telemetry,
    lifecycle,
    client,
    plugins,
    async run(options) {
      const native = await NativeConnection.connect({ address: config.temporalAddress });
      lifecycle.onShutdown('temporal connection', () => native.close());
      const worker = await Worker.create({
        ...options,
        connection: native,
        namespace: config.namespace,
        identity: `${service}/${process.pid}`,
        plugins,
        interceptors: { activity: [() => ({ inbound: domainErrors })] },
        // Progress is seen, and a cancellation arrives, within a second instead of 80 % of the heartbeat timeout.
        maxHeartbeatThrottleInterval: '1s',
        // Short activities end by themselves; long ones are cancelled and resumed elsewhere.
        shutdownGraceTime: '3s',
        shutdownForceTime: '8s',
      });
      const server = await serveHealth(worker, telemetry, config, corePort);
      lifecycle.onShutdown('health server', () => closeServer(server));
      const running = worker.run();
      lifecycle.onShutdown('worker', async () => {
        if (worker.getState() === 'RUNNING') worker.shutdown();
        await running;
      });
      logger.info({ taskQueue: options.taskQueue, metricsPort: config.metricsPort }, 'worker is ready');
      await running;
    },
  };
}

/** `/health/live`, `/health/ready` and `/metrics`: ours and those of the SDK's core, whose names do not overlap. */
async function serveHealth(
  worker: Worker,
  telemetry: Telemetry,
  config: WorkerConfig,
  corePort: number,
): Promise<Server> {
  const server = createServer((request, response) => {
    const ready = worker.getState() === 'RUNNING';
    switch (request.url) {
      case '/health/live':
        response.writeHead(200, { 'content-type': 'application/json' }).end('{"live":true}');
        return;
      case '/health/ready':
        response
          .writeHead(ready ? 200 : 503, { 'content-type': 'application/json' })
          .end(JSON.stringify({ ready, state: worker.getState() }));
        return;
      case '/metrics':
        Promise.all([coreMetrics(config.host, corePort), telemetry.metricsText()]).then(
          (texts) => response.writeHead(200, { 'content-type': METRICS_CONTENT_TYPE }).end(texts.join('')),
          (error: unknown) => response.writeHead(500).end(String(error)),
        );
        return;
      default:
        response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(config.metricsPort, config.host, resolve);
  });
  return server;
}

async function coreMetrics(host: string, port: number): Promise<string> {
  try {
    return await (await fetch(`http://${host}:${port}/metrics`)).text();
  } catch (error) {
    return `# The metrics of the Temporal SDK cannot be read: ${String(error)}\n`;
  }
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

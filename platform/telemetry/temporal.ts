/** How Temporal's SDK takes part in the process's telemetry: the trace plugin, its core's metrics, its logs. */
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { OpenTelemetryPlugin } from '@temporalio/interceptors-opentelemetry-v2';
import type { SpanProcessor } from '@opentelemetry/sdk-trace-base';
import type { Telemetry } from './telemetry.ts';

/** For clients and workers alike; spans of workflows leave the sandbox through the plugin's sink. */
export function temporalTracing({ resource, spanProcessor }: Telemetry): OpenTelemetryPlugin {
  // Without a collector the plugin still carries trace ids from client to activity; its own spans are then not kept.
  return new OpenTelemetryPlugin({ resource, spanProcessor: spanProcessor ?? discardingProcessor() });
}

function discardingProcessor(): SpanProcessor {
  return {
    onStart() {},
    onEnd() {},
    forceFlush: () => Promise.resolve(),
    shutdown: () => Promise.resolve(),
  };
}

/** A port that is free now: the SDK's core cannot be told to choose one itself. */
export async function freePort(host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, host, () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

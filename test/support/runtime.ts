import { DefaultLogger, Runtime } from '@temporalio/worker';

/** The SDK's runtime, once per process: silent about the failures that tests provoke, without signal handlers of its own. */
export function quietRuntime(): void {
  if (Runtime._instance !== undefined) return;
  Runtime.install({
    logger: new DefaultLogger('ERROR', () => undefined),
    telemetryOptions: { logging: { filter: 'off' } },
    shutdownSignals: [],
  });
}

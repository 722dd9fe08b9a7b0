/** The primary as a program: configuration, signals, log. */
import { fileURLToPath } from 'node:url';
import { DEFAULT_SCALING_POLICY } from '../../domain/autoscale/index.ts';
import { gatewayConfig, telemetryConfig } from '../../platform/config.ts';
import type { GatewayProcessesConfig } from '../../platform/config.ts';
import { startLifecycle } from '../../platform/lifecycle.ts';
import { createLogger } from '../../platform/telemetry/logger.ts';
import { startPrimary } from './primary.ts';

/** Between the end of the slowest process and the primary's own. */
const LAST_WORDS_MS = 1000;

export function runPrimary(processes: GatewayProcessesConfig): void {
  const config = gatewayConfig();
  const log = createLogger('slipway-gateway-primary', telemetryConfig().logLevel);
  const lifecycle = startLifecycle({
    watchParent: config.watchParent,
    timeoutMsShutdown: config.timeoutMsShutdown + LAST_WORDS_MS,
    log: (message) => log.info(message),
    ignoredSignals: ['SIGHUP'],
  });
  const { min, max, targetRps, targetMsP99, targetBusyPercent, scaleMsUp, scaleMsDown } = processes;
  const primary = startPrimary({
    program: fileURLToPath(new URL('../gateway.main.js', import.meta.url)),
    policy: {
      ...DEFAULT_SCALING_POLICY,
      min,
      max,
      targetRequestsPerSecond: targetRps,
      targetP99Ms: targetMsP99,
      targetUtilisation: targetBusyPercent / 100,
      stabilisationMsUp: scaleMsUp,
      stabilisationMsDown: scaleMsDown,
    },
    timeoutMsStop: config.timeoutMsShutdown,
    onHopeless: (reason) => {
      log.fatal({ reason }, 'no gateway process works');
      void lifecycle.shutdown(reason, 1);
    },
    log,
  });
  lifecycle.onShutdown('gateway processes', () => primary.stop());
  process.on('SIGHUP', () => void primary.roll());
  log.info({ min, max, host: config.host, port: config.port }, 'gateway primary started');
}

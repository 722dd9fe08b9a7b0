/**
 * The gateway: one process, or as many as are asked for behind one port. With one there is nothing above it; what is
 * not needed is not even loaded.
 */
import cluster from 'node:cluster';
import { gatewayProcessesConfig } from '../platform/config.ts';

const processes = gatewayProcessesConfig();
if (cluster.isPrimary && processes.max > 1) {
  const { runPrimary } = await import('./processes/run-primary.ts');
  runPrimary(processes);
} else {
  await import('./gateway-process.main.ts');
}

import { createInterface } from 'node:readline';

import { isRecord } from './atomic-file.ts';
import { isRunning, stopProcess } from './process-identity.ts';
import type { ProcessIdentity } from './process-identity.ts';

/**
 * Outlives the supervisor on purpose, by a moment: when its standard input ends, the supervisor is gone, and every
 * child that is still there is stopped, last started first. So even a supervisor that was ended by SIGKILL leaves no
 * Temporal or PostgreSQL behind, which know nothing of a parent to watch.
 *
 * Standard input is JSON lines: `{"add":{pid,started,signal,graceMs}}` and `{"remove":pid}`.
 */
interface Charge extends ProcessIdentity {
  readonly signal: NodeJS.Signals;
  readonly graceMs: number;
}

const charges: Charge[] = [];

function take(line: string): void {
  const message: unknown = JSON.parse(line);
  if (!isRecord(message)) return;
  if (isRecord(message.add)) charges.push(message.add as unknown as Charge);
  const removed = charges.findIndex((charge) => charge.pid === message.remove);
  if (removed >= 0) charges.splice(removed, 1);
}

async function stopAll(): Promise<void> {
  for (const charge of charges.toReversed()) {
    if (!isRunning(charge)) continue;
    await stopProcess(charge, [
      { signal: charge.signal, waitMs: charge.graceMs },
      { signal: 'SIGKILL', waitMs: 5000 },
    ]);
  }
}

// The supervisor tells when to end, not the terminal or the init system that ends it.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
const lines = createInterface({ input: process.stdin });
lines.on('line', take);
lines.on('close', () => void stopAll().then(() => process.exit(0)));

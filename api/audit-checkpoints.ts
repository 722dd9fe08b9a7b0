/**
 * Signs the heads of the audit streams every so often: a chain alone does not show that its end was cut off, a signed
 * checkpoint does. Signing the same head again is a no-op.
 */
import type { FastifyBaseLogger } from 'fastify';

const INTERVAL_MS = 30_000;

export interface Checkpoints {
  /** Signs once more, so that what was done last is covered too. */
  close(): Promise<void>;
}

export function keepCheckpoints(
  checkpoint: () => Promise<number>,
  log: Pick<FastifyBaseLogger, 'warn' | 'debug'>,
  intervalMs = INTERVAL_MS,
): Checkpoints {
  const sign = async (): Promise<void> => {
    try {
      const signed = await checkpoint();
      if (signed > 0) log.debug({ signed }, 'audit streams checkpointed');
    } catch (error) {
      log.warn({ err: error }, 'the audit log could not be checkpointed; it is tried again');
    }
  };
  let running = sign();
  const timer = setInterval(() => {
    running = running.then(sign);
  }, intervalMs).unref();
  return {
    async close() {
      clearInterval(timer);
      await running;
      await sign();
    },
  };
}

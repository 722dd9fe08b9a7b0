/** Waiting for a notification about one endpoint, with a timeout: one LISTEN connection for any number of waiters. */
import { listen } from './listen.ts';
import type { Channel } from './listen.ts';

export interface Notifications {
  /**
   * Resolves when the endpoint was notified on the channel, or after `timeoutMs`; rejects with the signal's reason.
   * What arrived between two waits is not lost: the second one returns at once.
   */
  wait(channel: Channel, endpoint: string, timeoutMs: number, signal: AbortSignal): Promise<void>;
  /** Resolves when the first attempt to connect has ended; without a connection every wait just times out. */
  readonly firstAttempt: Promise<void>;
  close(): Promise<void>;
}

const EVERY_ENDPOINT = '*';

interface Slot {
  pending: boolean;
  readonly waiters: Set<() => void>;
}

export function createNotifications(databaseUrl: string, channels: readonly Channel[]): Notifications {
  const slots = new Map<string, Slot>();
  const slotOf = (channel: Channel, endpoint: string): Slot => {
    const key = `${channel} ${endpoint}`;
    const slot = slots.get(key) ?? { pending: false, waiters: new Set() };
    slots.set(key, slot);
    return slot;
  };
  const wake = (slot: Slot): void => {
    slot.pending = slot.waiters.size === 0;
    for (const waiter of slot.waiters) waiter();
  };
  const listener = listen(databaseUrl, channels, (notification) => {
    if (notification.kind === 'connected') {
      // Something may have been missed while the connection was away.
      for (const slot of slots.values()) wake(slot);
    } else if (notification.payload === EVERY_ENDPOINT) {
      for (const [key, slot] of slots) if (key.startsWith(`${notification.channel} `)) wake(slot);
    } else {
      wake(slotOf(notification.channel, notification.payload));
    }
  });

  return {
    firstAttempt: listener.firstAttempt,
    async wait(channel, endpoint, timeoutMs, signal) {
      signal.throwIfAborted();
      const slot = slotOf(channel, endpoint);
      if (slot.pending) {
        slot.pending = false;
        return;
      }
      await new Promise<void>((resolve, reject) => {
        const stop = (): void => {
          clearTimeout(timer);
          slot.waiters.delete(done);
          signal.removeEventListener('abort', aborted);
        };
        const done = (): void => {
          stop();
          resolve();
        };
        const aborted = (): void => {
          stop();
          reject(signal.reason as Error);
        };
        const timer = setTimeout(done, timeoutMs);
        slot.waiters.add(done);
        signal.addEventListener('abort', aborted, { once: true });
      });
    },
    close: () => listener.close(),
  };
}

import type { ActivityPulse } from './traffic.ts';

/** A third of the shortest heartbeat timeout that is in use. */
const BEAT_MS = 5000;

/** Heartbeats by a timer while `work` lasts: a dead worker is missed soon, and a silent but living one is not. */
export async function beating<T>({ beat }: ActivityPulse, work: () => Promise<T>): Promise<T> {
  beat();
  const timer = setInterval(() => beat(), BEAT_MS);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}

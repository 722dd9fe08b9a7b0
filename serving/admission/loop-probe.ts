/** What the event loop says about itself. */
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';

export interface LoopSample {
  readonly elapsedMs: number;
  readonly busyMs: number;
  /** Busy share of the elapsed time. */
  readonly utilization: number;
  readonly delayP99Ms: number;
}

export interface LoopProbe {
  /** Total time that the loop has slept. */
  idleMs(): number;
  /** Calls back once the sockets of this turn are read. */
  afterTurn(callback: () => void): void;
  /** Since the last sample. */
  sample(): LoopSample;
  close(): void;
}

const RESOLUTION_MS = 10;

export function createLoopProbe(): LoopProbe {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  const { nodeTiming } = performance;
  let last = performance.eventLoopUtilization();
  return {
    idleMs: () => nodeTiming.idleTime,
    afterTurn: (callback) => void setImmediate(callback),
    sample() {
      const now = performance.eventLoopUtilization();
      const { active, idle, utilization } = performance.eventLoopUtilization(now, last);
      last = now;
      // The histogram holds intervals between ticks; what is above the wanted one is delay.
      const delayP99Ms = delay.count === 0 ? 0 : Math.max(0, delay.percentile(99) / 1e6 - RESOLUTION_MS);
      delay.reset();
      return { elapsedMs: active + idle, busyMs: active, utilization, delayP99Ms };
    },
    close() {
      delay.disable();
    },
  };
}

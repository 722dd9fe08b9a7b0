/** How the features part waits; tests bring a clock of their own. */
export interface FeatureTimers {
  /** At the end of this turn of the event loop, after every callback that is due in it. */
  soon(work: () => void): void;
  /** @returns what calls it off */
  after(ms: number, work: () => void): () => void;
}

export const SYSTEM_TIMERS: FeatureTimers = {
  soon: (work) => void setImmediate(work),
  after: (ms, work) => {
    const timer = setTimeout(work, ms);
    return () => clearTimeout(timer);
  },
};

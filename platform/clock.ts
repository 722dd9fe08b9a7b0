/** Time as an argument: production passes `systemClock`, tests pass their own. */
export interface Clock {
  /** Wall clock, unix milliseconds. */
  now(): number;
  /** Monotonic milliseconds, for durations and leases: never jumps with the wall clock. */
  monotonic(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};

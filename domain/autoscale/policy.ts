/** What a process may be asked to carry, and how fast the number of processes may follow the load. */
export interface ScalingPolicy {
  readonly min: number;
  readonly max: number;
  /** Of one process. */
  readonly targetRequestsPerSecond: number;
  readonly targetP99Ms: number;
  /** Share of the time that an event loop is busy, 0 to 1. */
  readonly targetUtilisation: number;
  /** Nothing is added while the load is within this share above the target; the same headroom must be left to go down. */
  readonly tolerance: number;
  /** How long the load must ask for more before more is started. */
  readonly stabilisationMsUp: number;
  /** How long the load must do with fewer before one is stopped; then again for the next. */
  readonly stabilisationMsDown: number;
  /** A p99 of fewer requests than this says nothing. */
  readonly leastRequestsForP99: number;
}

/**
 * The numbers of a Kubernetes HorizontalPodAutoscaler for the same gateway, where they exist there: tolerance 0.1, and
 * one at a time on the way down. Up is quicker than its defaults, for a process starts in about a second.
 */
export const DEFAULT_SCALING_POLICY: ScalingPolicy = {
  min: 1,
  max: 1,
  targetRequestsPerSecond: 5000,
  targetP99Ms: 50,
  targetUtilisation: 0.7,
  tolerance: 0.1,
  stabilisationMsUp: 5000,
  stabilisationMsDown: 60_000,
  leastRequestsForP99: 20,
};

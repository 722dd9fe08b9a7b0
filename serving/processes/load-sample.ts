/** What a process tells about its load; the autoscaler's input. */
export interface LoadSample {
  /** Answered since the last sample. */
  readonly requests: number;
  /** From the request's headers to the last byte of the answer; null when there was no request. */
  readonly p99Ms: number | null;
  /** Event-loop utilisation since the last sample, 0 to 1. */
  readonly utilisation: number;
}

export interface LoadSource {
  /** Everything since the last call. */
  sample(): LoadSample;
}

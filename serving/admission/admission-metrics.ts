/** What admission tells the outside. */
import type { PriorityName } from './priority.ts';

/**
 * `level`: below what there is room for at present; `wait`: it would wait for more than half of its deadline; `limit`:
 * too many under way for its class; `cap`: too many under way for anybody; `pressure`: the event loop has no time
 * left; `retry`: the retries' share is used up.
 */
export const SHED_REASONS = ['level', 'wait', 'limit', 'cap', 'pressure', 'retry'] as const;
export type ShedReason = (typeof SHED_REASONS)[number];

export interface AdmissionMetrics {
  shed(endpoint: string, reason: ShedReason, priority: PriorityName): void;
  /** Of an answered request: what was expected at its admission, and what it was. */
  waited(endpoint: string, predictedMs: number, actualMs: number): void;
  /** Each 100 ms. */
  state(state: AdmissionState): void;
}

export interface AdmissionState {
  readonly limit: number;
  readonly inFlight: number;
  readonly eventLoopUtilization: number;
  readonly eventLoopDelayP99Ms: number;
  /** Share of the time spent on rejections. */
  readonly rejectShare: number;
  /** Rank below which requests are shed, of 128; 96 leaves only critical ones. */
  readonly shedLevel: number;
  /** Milliseconds of the event loop for each admitted request. */
  readonly loopCostMs: number;
}

export const NO_ADMISSION_METRICS: AdmissionMetrics = { shed() {}, waited() {}, state() {} };

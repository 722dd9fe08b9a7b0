/** What gateways report: windows of counts per arm, predictions, labels, and breaker trips. */
import type { Digest } from '../routing/route.ts';

/** `exp:<arm>`: an arm of the endpoint's experiment. */
export type Arm = 'champion' | 'canary' | 'shadow' | `exp:${string}`;

/** Counts of one arm in one window (about a second) under one route generation; additive. */
export interface ArmWindow {
  readonly endpoint: string;
  readonly generation: number;
  readonly arm: Arm;
  readonly version: Digest;
  readonly startMs: number;
  readonly endMs: number;
  readonly requests: number;
  readonly errors: number;
  readonly slow: number;
  readonly invalid: number;
  readonly diverged: number;
  readonly pairs: number;
  /** Sum of server-side latencies in microseconds. */
  readonly latencyMicros: number;
}

/** One flush of one gateway process; (gatewayId, bootId, seq) makes it exactly-once. */
export interface GatewayFlush {
  readonly gatewayId: string;
  /** A new value for every process start, so that `seq` may restart. */
  readonly bootId: string;
  readonly seq: number;
  readonly windows: readonly ArmWindow[];
  readonly predictions: readonly PredictionRow[];
}

export interface PredictionRow {
  readonly predictionId: string;
  readonly endpoint: string;
  readonly generation: number;
  readonly arm: Arm;
  readonly version: Digest;
  readonly atMs: number;
  /** Model output `score`; null when the arm failed. */
  readonly score: number | null;
  /** Decision (class) that the caller was given; null when the arm failed. */
  readonly decision: number | null;
  /** Of a request that took part in an experiment. */
  readonly experiment?: string;
  /** Probability with which this arm was chosen, given the request: what an off-policy estimate divides by. */
  readonly propensity?: number;
  /** Version of the experiment's snapshot that the arm was chosen by. */
  readonly snapshot?: number;
  /** What a contextual policy looked at. */
  readonly context?: readonly number[];
}

export interface LabelRow {
  readonly predictionId: string;
  readonly label: number;
  readonly observedAtMs: number;
}

/** A gateway's own decision to take an arm out of traffic. */
export interface GuardTrip {
  readonly gatewayId: string;
  readonly endpoint: string;
  readonly generation: number;
  readonly version: Digest;
  readonly reason: string;
  readonly atMs: number;
}

/** What a gateway has done with a route generation. */
export interface Acknowledgement {
  readonly gatewayId: string;
  readonly endpoint: string;
  readonly generation: number;
  /** For each version of the route: ready, loading, or why it was refused. */
  readonly versions: Readonly<Record<Digest, VersionState>>;
}
export type VersionState =
  | { readonly state: 'ready' }
  | { readonly state: 'loading' }
  | { readonly state: 'refused'; readonly code: string; readonly message: string };

export interface LiveGateway {
  readonly gatewayId: string;
  readonly url: string;
  readonly acknowledgement: Acknowledgement | null;
}

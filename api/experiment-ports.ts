/** What the routes of experiments and rewards need; the adapters are `db/experiments.ts`, `db/rewards.ts` and Temporal. */
import type {
  ExperimentOutcome,
  ExperimentPlan,
  ExperimentSnapshot,
  LoggedDecision,
} from '../domain/experiments/index.ts';
import type { RouteExperimentArm } from '../domain/routing/route.ts';
import type { ExperimentInput, ExperimentRunView, OperatorRequest } from '../workflows/messages.ts';

export interface StoredExperiment {
  readonly endpoint: string;
  readonly name: string;
  readonly plan: ExperimentPlan;
  /** With the versions that the arms stood for when it began. */
  readonly arms: readonly RouteExperimentArm[];
  readonly generation: number;
  /** Null until it has ended. */
  readonly outcome: ExperimentOutcome | null;
  readonly reason: string | null;
  readonly winner: string | null;
  readonly startedBy: string;
  readonly startedAtMs: number;
  readonly endedAtMs: number | null;
}

/** What has happened to an experiment's rewards altogether. */
export interface RewardTally {
  readonly received: number;
  readonly counted: number;
  readonly late: number;
  readonly invalid: number;
  /** Stored, and not yet looked at. */
  readonly waiting: number;
  readonly duplicate: number;
  readonly conflicting: number;
}

interface Name {
  readonly endpoint: string;
  readonly name: string;
}

export interface ExperimentReader {
  /** Newest first. */
  list(endpoint?: string): Promise<readonly StoredExperiment[]>;
  /** @throws EXPERIMENT_NOT_FOUND */
  get(name: Name): Promise<StoredExperiment>;
  /** Newest first, at most `limit`. */
  snapshots(name: Name, limit: number): Promise<readonly ExperimentSnapshot[]>;
  tally(experiment: StoredExperiment): Promise<RewardTally>;
  /** Decisions of each arm under each snapshot. */
  decisionsBySnapshot(
    experiment: StoredExperiment,
  ): Promise<readonly { readonly sharesBp: readonly number[]; readonly decisions: readonly number[] }[]>;
  /** Decisions with a counted reward and their propensities, the newest first. */
  logged(experiment: StoredExperiment, limit: number): Promise<readonly LoggedDecision[]>;
}

export interface ExperimentRuns {
  /** Answers when the arms have their shares. @throws EXPERIMENT_RUNNING, ROLLOUT_IN_PROGRESS, EXPERIMENT_NOT_FOUND … */
  start(input: ExperimentInput): Promise<ExperimentRunView>;
  /** Answers when the champion has everything back. @throws WRONG_PHASE when it is not running */
  stop(name: Name, request: OperatorRequest): Promise<ExperimentRunView>;
}

export interface RewardRow {
  readonly predictionId: string;
  /** In [0, 1]. */
  readonly reward: number;
  readonly observedAtMs: number;
}

/** Every row is counted in exactly one of these. */
export interface RewardReceipt {
  /** Stored; it counts once its decision is known, if it came within the window. */
  readonly accepted: number;
  /** The same reward was there already. */
  readonly duplicate: number;
  /** Another reward was there already; the first one stands. */
  readonly conflicting: number;
}

export interface RewardSink {
  /** @throws INVALID_REQUEST that names the row */
  addRewards(rows: readonly RewardRow[]): Promise<RewardReceipt>;
}

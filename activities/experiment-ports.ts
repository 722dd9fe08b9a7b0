/** What experiments need from outside; the adapter is `db/experiments.ts`. */
import type { ExperimentOutcome, ExperimentPlan, ExperimentSnapshot } from '../domain/experiments/index.ts';
import type { GuardTrip } from '../domain/rollout/arm-window.ts';
import type { Digest, RouteExperimentArm } from '../domain/routing/route.ts';

export interface ExperimentName {
  readonly endpoint: string;
  readonly name: string;
}

export interface OpenExperiment extends ExperimentName {
  readonly plan: ExperimentPlan;
  readonly arms: readonly RouteExperimentArm[];
  /** Of the route that has it. */
  readonly generation: number;
  /** Run of the workflow that owns it. */
  readonly runId: string;
  readonly actor: string;
}

export interface ExperimentStore {
  /** As the model's present manifest declares it. @throws MODEL_NOT_FOUND, EXPERIMENT_NOT_FOUND */
  planOf(name: ExperimentName): Promise<ExperimentPlan>;
  /** Whether an experiment of this name has begun, now or ever. */
  hasBegun(name: ExperimentName): Promise<boolean>;
  /**
   * The version that an alias, a digest or the beginning of one stands for.
   * @throws VERSION_NOT_FOUND, INVALID_REQUEST when it is another model's or fits several, VERSION_REVOKED
   */
  resolve(endpoint: string, reference: string): Promise<Digest>;
  /** Its row and first snapshot; gateways give the arms their shares from then on. Again by the same run is a no-op. @throws WRONG_PHASE */
  open(experiment: OpenExperiment): Promise<ExperimentSnapshot>;
  /**
   * Counts what has arrived since the newest snapshot, each reward once, and writes the next one in the same
   * transaction; gateways are told when what they decide by has changed.
   * @returns the newest snapshot, which is the old one when nothing has happened.
   * @throws EXPERIMENT_NOT_FOUND, WRONG_PHASE when it has ended
   */
  advance(name: ExperimentName): Promise<ExperimentSnapshot>;
  /** The first time that a gateway took an arm out by itself. */
  trip(query: { readonly endpoint: string; readonly generation: number }): Promise<GuardTrip | null>;
  /** The first end stands; again is a no-op, as is the end of what was never opened. */
  end(
    end: ExperimentName & {
      readonly runId: string | null;
      readonly outcome: ExperimentOutcome;
      readonly reason: string;
      readonly winner: string | null;
      readonly actor: string;
    },
  ): Promise<void>;
}

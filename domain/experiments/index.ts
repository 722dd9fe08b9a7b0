/**
 * Experiments on live traffic: what an experiment is, who gets which arm, what a reward counts for, and what follows.
 *
 * Owns A/B results, bandits (Thompson, ε-greedy, UCB by shares; LinUCB by request), off-policy evaluation, the rules of
 * the reward join, and the buckets of many arms. Promises:
 * - An A/B result may be looked at each second: its intervals hold at all looks together.
 * - Shares are whole basis points that add up to 10,000, never below the floor, and within any minute never more than
 *   the step away from what they were; the share in force is the propensity.
 * - States are plain JSON, versioned, and computed from counts and logged decisions alone: nothing here reads a clock,
 *   draws a number or does I/O.
 * How the bandits do in simulation is measured by `bench/experiments`.
 */
export { checkExperiment, EXPERIMENT_DEFAULTS } from './experiment-spec.ts';
export type {
  ExperimentArm,
  ExperimentMetric,
  ExperimentPolicy,
  ExperimentSpec,
  LinUcbPolicy,
  SharePolicy,
} from './experiment-spec.ts';
export { abResult, controlOf } from './ab-result.ts';
export type {
  AbDecision,
  AbResult,
  ArmEvidence,
  ArmResult,
  Comparison,
  ExperimentSegment,
} from './ab-result.ts';
export { addReward, addTotals, NO_REWARDS } from './bounded-mean.ts';
export type { Interval, RewardTotals } from './bounded-mean.ts';
export { posterior, snapshotBandit, startBandit, updateBandit } from './bandit.ts';
export type { ArmStatistics, BanditReward, BanditState } from './bandit.ts';
export { decideLinUcb, linUcbTable, snapshotLinUcb, startLinUcb, updateLinUcb } from './lin-ucb.ts';
export type { LinUcbDecision, LinUcbReward, LinUcbState, LinUcbTable } from './lin-ucb.ts';
export { bestArmProbabilities } from './best-arm.ts';
export { evaluateOffPolicy, fixedShares } from './off-policy.ts';
export type { Estimate, LoggedDecision, OffPolicyResult, TargetPolicy } from './off-policy.ts';
export { joinReward, outcome } from './reward-join.ts';
export type { Decision, JoinedReward, Outcome } from './reward-join.ts';
export { bucketTable, moveRanges, startRanges } from './bucket-ranges.ts';
export type { BucketRange } from './bucket-ranges.ts';
export type { Shares } from './shares.ts';
export {
  advanceExperiment,
  checkPlan,
  clockOf,
  contextualOf,
  EXPERIMENT_OUTCOMES,
  readExperiment,
  shareMismatch,
  startExperiment,
} from './experiment-run.ts';
export type {
  ContextualTable,
  ExperimentOutcome,
  ExperimentPlan,
  ExperimentReading,
  ExperimentSnapshot,
  JoinedGroup,
  Look,
  PolicyState,
} from './experiment-run.ts';

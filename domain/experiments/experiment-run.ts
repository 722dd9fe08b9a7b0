/**
 * A running experiment: what is kept of it in each snapshot, how a look moves it on, and what a look decides. Pure: the
 * control plane reads counts, calls `advance`, and stores what comes back with the rewards that went in.
 */
import type { Problem } from '../errors.ts';
import { abResult } from './ab-result.ts';
import type { AbResult, ArmEvidence, ArmResult, Comparison, ExperimentSegment } from './ab-result.ts';
import { snapshotBandit, startBandit, updateBandit } from './bandit.ts';
import type { BanditState } from './bandit.ts';
import { addTotals, meanInterval, NO_REWARDS } from './bounded-mean.ts';
import type { ExperimentSpec } from './experiment-spec.ts';
import { checkExperiment } from './experiment-spec.ts';
import { linUcbTable, snapshotLinUcb, startLinUcb, updateLinUcb } from './lin-ucb.ts';
import type { LinUcbState, LinUcbTable } from './lin-ucb.ts';
import { evenShares } from './shares.ts';
import type { Shares } from './shares.ts';

/** As the manifest declares it. */
export interface ExperimentPlan extends ExperimentSpec {
  /** What is expected, for people. */
  readonly hypothesis: string | null;
  /** Without renewal the champion answers everything after this long. */
  readonly leaseMs: number;
}

export const EXPERIMENT_OUTCOMES = [
  'winner',
  'futility',
  'invalid',
  'expired',
  'stopped',
  'interrupted',
  'failed',
] as const;
export type ExperimentOutcome = (typeof EXPERIMENT_OUTCOMES)[number];

export type PolicyState =
  | { readonly kind: 'ab' }
  | { readonly kind: 'shares'; readonly bandit: BanditState }
  | { readonly kind: 'linucb'; readonly linucb: LinUcbState };

/** Everything counted so far. Never changed: the next look makes the next version. */
export interface ExperimentSnapshot {
  readonly version: number;
  readonly atMs: number;
  /** In the order of the arms; for LinUCB what each arm has of the rewards' contexts is not known, so they are even. */
  readonly sharesBp: Shares;
  readonly state: PolicyState;
  readonly arms: readonly ArmEvidence[];
  /** Rewards that came after their window, or that are no value of the metric: they count for nothing. */
  readonly late: number;
  readonly invalid: number;
}

/** Rewards that were joined to decisions since the last look; equal ones together. */
export interface JoinedGroup {
  readonly arm: number;
  /** Decision clock of the snapshot that the decision was made by. */
  readonly clock: number;
  readonly reward: number;
  readonly verdict: 'counted' | 'late' | 'invalid';
  /** Only for LinUCB; null when the gateway did not log it. */
  readonly context: readonly number[] | null;
  readonly count: number;
}

export interface Look {
  readonly atMs: number;
  /** Decisions of each arm since the experiment began. */
  readonly decisions: readonly number[];
  readonly joined: readonly JoinedGroup[];
}

/** What gateways decide by when the policy looks at the request; columns by name. */
export interface ContextualTable {
  readonly columns: readonly string[];
  readonly table: LinUcbTable;
}

export function startExperiment(spec: ExperimentSpec, atMs: number): ExperimentSnapshot {
  const { arms, policy } = spec;
  const nothing = {
    version: 1,
    atMs,
    arms: arms.map(() => ({ decisions: 0, totals: NO_REWARDS })),
    late: 0,
    invalid: 0,
  };
  if (policy.kind === 'ab') {
    return { ...nothing, sharesBp: arms.map(({ weightBp }) => weightBp ?? 0), state: { kind: 'ab' } };
  }
  if (policy.algorithm === 'linucb') {
    const linucb = startLinUcb(arms.length, policy);
    return { ...nothing, sharesBp: evenShares(arms.length), state: { kind: 'linucb', linucb } };
  }
  const bandit = startBandit(arms.length, atMs);
  return { ...nothing, sharesBp: bandit.shares, state: { kind: 'shares', bandit } };
}

/** @returns the next version, or null when nothing has happened that could change anything. */
export function advanceExperiment(
  spec: ExperimentSpec,
  before: ExperimentSnapshot,
  { atMs, decisions, joined }: Look,
): ExperimentSnapshot | null {
  const arms = before.arms.map(({ totals, decisions: known }, arm) => ({
    // Evidence may be deleted when its retention ends; what was counted stays counted.
    decisions: Math.max(known, decisions[arm] ?? 0),
    totals: joined
      .filter((group) => group.arm === arm && group.verdict === 'counted')
      .reduce(
        (sum, { reward, count }) =>
          addTotals(sum, { rewards: count, sum: count * reward, sumSquares: count * reward * reward }),
        totals,
      ),
  }));
  const fresh = total(arms) - total(before.arms);
  const { state, sharesBp } = advancePolicy(spec, before, joined, fresh, atMs);
  const moved = sharesBp.some((share, arm) => share !== before.sharesBp[arm]);
  if (fresh === 0 && joined.length === 0 && !moved) return null;
  const refused = (verdict: 'late' | 'invalid'): number =>
    joined.reduce((sum, group) => sum + (group.verdict === verdict ? group.count : 0), 0);
  return {
    version: before.version + 1,
    atMs,
    sharesBp,
    state,
    arms,
    late: before.late + refused('late'),
    invalid: before.invalid + refused('invalid'),
  };
}

const total = (arms: readonly ArmEvidence[]): number =>
  arms.reduce((sum, { decisions }) => sum + decisions, 0);

function advancePolicy(
  { policy }: ExperimentSpec,
  { state, sharesBp }: ExperimentSnapshot,
  joined: readonly JoinedGroup[],
  fresh: number,
  atMs: number,
): Pick<ExperimentSnapshot, 'state' | 'sharesBp'> {
  const counted = joined
    .filter(({ verdict }) => verdict === 'counted')
    .flatMap((group) => Array.from({ length: group.count }, () => group));
  if (state.kind === 'shares' && policy.kind === 'bandit' && policy.algorithm !== 'linucb') {
    const bandit = snapshotBandit(updateBandit(state.bandit, policy, counted), policy, fresh, atMs);
    return { state: { kind: 'shares', bandit }, sharesBp: bandit.shares };
  }
  if (state.kind === 'linucb' && policy.kind === 'bandit' && policy.algorithm === 'linucb') {
    const rewards = counted.flatMap(({ arm, reward, clock, context }) =>
      context?.length === policy.context.length && context.every(Number.isFinite)
        ? [{ arm, reward, clock, context }]
        : [],
    );
    const linucb = snapshotLinUcb(updateLinUcb(state.linucb, policy, rewards), fresh);
    return { state: { kind: 'linucb', linucb }, sharesBp };
  }
  return { state, sharesBp };
}

/** Decisions before the snapshot: the clock that a policy discounts by. */
export function clockOf({ state, arms }: ExperimentSnapshot): number {
  if (state.kind === 'shares') return state.bandit.clock;
  return state.kind === 'linucb' ? state.linucb.clock : total(arms);
}

export function contextualOf(
  { policy }: ExperimentSpec,
  { state }: ExperimentSnapshot,
): ContextualTable | null {
  if (state.kind !== 'linucb' || policy.kind !== 'bandit' || policy.algorithm !== 'linucb') return null;
  return { columns: policy.context, table: linUcbTable(state.linucb, policy) };
}

export interface ExperimentReading {
  /** Null: go on. */
  readonly outcome: Extract<ExperimentOutcome, 'winner' | 'futility' | 'invalid' | 'expired'> | null;
  readonly reason: string;
  readonly winner: string | null;
  readonly arms: readonly ArmResult[];
  /** With the control; only of A/B experiments, whose shares are constant. */
  readonly comparisons: readonly Comparison[];
}

const AB_OUTCOMES = {
  winner: 'winner',
  'no-difference': 'futility',
  invalid: 'invalid',
  inconclusive: 'expired',
  continue: null,
} as const satisfies Record<AbResult['decision'], ExperimentReading['outcome']>;

/** What this snapshot says. A bandit has no winner to wait for: it earns while it learns, until its time is over. */
export function readExperiment(
  spec: ExperimentSpec,
  snapshot: Pick<ExperimentSnapshot, 'arms' | 'sharesBp'>,
  elapsedMs: number,
): ExperimentReading {
  if (spec.policy.kind === 'ab') {
    const segment = { weightsBp: snapshot.sharesBp, arms: snapshot.arms };
    const { decision, reason, winner, arms, comparisons } = abResult(spec, [segment], elapsedMs);
    return { outcome: AB_OUTCOMES[decision], reason, winner, arms, comparisons };
  }
  const arms = spec.arms.map(({ name }, arm): ArmResult => {
    const { decisions, totals } = snapshot.arms[arm] ?? { decisions: 0, totals: NO_REWARDS };
    const { rewards, sum } = totals;
    const interval = meanInterval(spec.metric.kind, totals, spec.alpha);
    return { name, decisions, rewards, mean: rewards === 0 ? null : sum / rewards, interval };
  });
  const over = elapsedMs >= spec.maxDurationMs;
  const reason = over ? 'the longest duration has passed' : 'the bandit goes on';
  return { outcome: over ? 'expired' : null, reason, winner: null, arms, comparisons: [] };
}

/** Why decisions do not have their shares, or null. Segments: one for each snapshot. */
export function shareMismatch(
  spec: ExperimentSpec,
  segments: readonly { readonly sharesBp: Shares; readonly decisions: readonly number[] }[],
): string | null {
  const evidence = segments.map(({ sharesBp, decisions }): ExperimentSegment => ({
    weightsBp: sharesBp,
    arms: spec.arms.map((_, arm) => ({ decisions: decisions[arm] ?? 0, totals: NO_REWARDS })),
  }));
  const { decision, reason } = abResult(spec, evidence, 0);
  return decision === 'invalid' ? reason : null;
}

/** Below, a slow look of the control plane would end the experiment. */
const SHORTEST_LEASE_MS = 10_000;
const LONGEST_LEASE_MS = 3_600_000;

export function checkPlan(plan: ExperimentPlan): readonly Problem[] {
  const { leaseMs } = plan;
  const lease =
    leaseMs >= SHORTEST_LEASE_MS && leaseMs <= LONGEST_LEASE_MS
      ? []
      : [{ path: '/lease', reason: `must be ${SHORTEST_LEASE_MS / 1000}s to ${LONGEST_LEASE_MS / 1000}s` }];
  return [...checkExperiment(plan), ...lease];
}

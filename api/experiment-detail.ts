/** What people see of an experiment, from its newest snapshot and its decisions: at any time, also while it runs. */
import { SlipwayError } from '../domain/errors.ts';
import {
  evaluateOffPolicy,
  fixedShares,
  posterior,
  readExperiment,
  shareMismatch,
} from '../domain/experiments/index.ts';
import type {
  ArmResult,
  Comparison,
  ExperimentReading,
  ExperimentSnapshot,
  OffPolicyResult,
} from '../domain/experiments/index.ts';
import type { Route } from '../domain/routing/route.ts';
import type { ExperimentReader, RewardTally, StoredExperiment } from './experiment-ports.ts';

export interface ArmDetail extends ArmResult {
  readonly version: string;
  /** Null for LinUCB, which decides by the request. */
  readonly shareBp: number | null;
  /** Beta(a, b) of the discounted rewards; only of bandits that decide by shares. */
  readonly posterior: { readonly a: number; readonly b: number } | null;
  /** With the control; null for the control itself, and for bandits. */
  readonly comparison: Comparison | null;
}

export interface ExperimentDetail {
  readonly experiment: StoredExperiment;
  /** `lost`: its workflow or its lease is gone, and the champion answers everything. */
  readonly status: 'running' | 'ended' | 'lost';
  /** Of the snapshot that all of this is from. */
  readonly snapshot: number;
  readonly atMs: number;
  readonly arms: readonly ArmDetail[];
  readonly rewards: RewardTally;
  /** Why decisions do not have their shares, or null; not checked for LinUCB. */
  readonly sampleRatio: { readonly checked: boolean; readonly mismatch: string | null };
  readonly result: Pick<ExperimentReading, 'outcome' | 'reason' | 'winner'>;
}

export async function experimentDetail(
  reader: ExperimentReader,
  experiment: StoredExperiment,
  route: Route | null,
  nowMs: number,
): Promise<ExperimentDetail> {
  const [[snapshot], rewards, segments] = await Promise.all([
    reader.snapshots(experiment, 1),
    reader.tally(experiment),
    reader.decisionsBySnapshot(experiment),
  ]);
  if (snapshot === undefined) {
    throw new SlipwayError('EXPERIMENT_NOT_FOUND', `experiment ${experiment.name} has no snapshot`);
  }
  const { plan, outcome, reason, winner, startedAtMs, endedAtMs } = experiment;
  const reading = readExperiment(plan, snapshot, (endedAtMs ?? nowMs) - startedAtMs);
  const checked = snapshot.state.kind !== 'linucb';
  return {
    experiment,
    status: statusOf(experiment, route),
    snapshot: snapshot.version,
    atMs: snapshot.atMs,
    arms: reading.arms.map((arm, index) => armDetail(experiment, snapshot, reading, arm, index)),
    rewards,
    sampleRatio: { checked, mismatch: checked ? shareMismatch(plan, segments) : null },
    result:
      outcome === null
        ? pick(reading)
        : { outcome: resultOf(outcome, reading), reason: reason ?? '', winner },
  };
}

const pick = ({ outcome, reason, winner }: ExperimentReading): ExperimentDetail['result'] => ({
  outcome,
  reason,
  winner,
});

/** How it ended is in `experiment.outcome`; this is what its numbers say. */
function resultOf(
  ended: NonNullable<StoredExperiment['outcome']>,
  { outcome }: ExperimentReading,
): ExperimentReading['outcome'] {
  return ended === 'winner' || ended === 'futility' || ended === 'invalid' || ended === 'expired'
    ? ended
    : outcome;
}

export function statusOf(
  { name, generation, outcome }: StoredExperiment,
  route: Route | null,
): ExperimentDetail['status'] {
  if (outcome !== null) return 'ended';
  return route?.experiment?.name === name && route.generation === generation ? 'running' : 'lost';
}

function armDetail(
  { arms }: StoredExperiment,
  { state, sharesBp }: ExperimentSnapshot,
  { comparisons }: ExperimentReading,
  arm: ArmResult,
  index: number,
): ArmDetail {
  const known = state.kind === 'shares' ? state.bandit.arms[index] : undefined;
  return {
    ...arm,
    version: arms[index]?.version ?? '',
    shareBp: state.kind === 'linucb' ? null : (sharesBp[index] ?? 0),
    posterior: known === undefined ? null : posterior(known.long),
    comparison: comparisons.find((comparison) => comparison.arm === arm.name) ?? null,
  };
}

/** The newest decisions are enough for an estimate, and fit into memory. */
const MAX_LOGGED = 500_000;

/** @throws SlipwayError INVALID_PARAMETER for shares that do not fit, or when nothing has been rewarded yet */
export async function evaluateShares(
  reader: ExperimentReader,
  experiment: StoredExperiment,
  percent: Readonly<Record<string, number>>,
): Promise<OffPolicyResult> {
  const names = experiment.plan.arms.map(({ name }) => name);
  const unknown = Object.keys(percent).find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw new SlipwayError(
      'INVALID_PARAMETER',
      `there is no arm ${unknown}; the arms are ${names.join(', ')}`,
    );
  }
  const shares = names.map((name) => (percent[name] ?? 0) * 100);
  const total = shares.reduce((sum, share) => sum + share, 0);
  if (Math.abs(total - 10_000) > 1e-6) {
    throw new SlipwayError('INVALID_PARAMETER', `the shares must add up to 100 %, not ${total / 100}`);
  }
  const decisions = await reader.logged(experiment, MAX_LOGGED);
  if (decisions.length === 0) {
    throw new SlipwayError('INVALID_PARAMETER', `no decision of ${experiment.name} has a reward yet`);
  }
  return evaluateOffPolicy(decisions, fixedShares(shares));
}

/**
 * What the durable sequences accept and answer: updates, signals, queries, ids, task queues and search attributes.
 * Imported by workflows and by their clients; nothing in here runs.
 */
import { defineSearchAttributeKey } from '@temporalio/common';
import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type { ExperimentOutcome } from '../domain/experiments/index.ts';
import type { ReleaseOutcome, ReleasePhase } from '../domain/release/release.ts';
import type { GuardrailReading, Verdict } from '../domain/rollout/verdict.ts';
import type { Digest } from '../domain/routing/route.ts';

/** Queues are named by capability: short activities and workflows, and slots for external trainers. */
export const TASK_QUEUES = { control: 'control', train: 'train' } as const;

export const releaseWorkflowId = (releaseId: string): string => `release/${releaseId}`;
export const rolloutWorkflowId = (endpoint: string): string => `rollout/${endpoint}`;
export const rollbackWorkflowId = (endpoint: string): string => `rollback/${endpoint}`;

export const experimentWorkflowId = (endpoint: string, name: string): string =>
  `experiment/${endpoint}/${name}`;

export const SEARCH_ATTRIBUTES = {
  model: defineSearchAttributeKey('SlipwayModel', 'KEYWORD'),
  version: defineSearchAttributeKey('SlipwayVersion', 'KEYWORD'),
  phase: defineSearchAttributeKey('SlipwayPhase', 'KEYWORD'),
  outcome: defineSearchAttributeKey('SlipwayOutcome', 'KEYWORD'),
} as const;

export interface ReleaseInput {
  readonly releaseId: string;
  readonly model: string;
  readonly submittedBy: string;
  readonly skipShadow: boolean;
}

export interface RollbackInput {
  readonly endpoint: string;
  /** Absent: the latest former champion that is still signed and not revoked. */
  readonly to?: Digest;
  readonly actor: string;
  readonly reason: string;
}

export interface RollbackResult {
  readonly from: Digest;
  readonly to: Digest;
  readonly generation: number;
  /** From the start of the workflow to the acknowledgement of every live gateway. */
  readonly milliseconds: number;
  /** Whether the target was still loaded by every live gateway, so that nothing had to be reloaded. */
  readonly wasStandby: boolean;
}

/** Where the rollout stands; also what a person sees in the Temporal UI. */
export interface RolloutStepView {
  readonly kind: 'shadow' | 'canary';
  readonly index: number;
  /** Percent of live traffic (canary) or of mirrored traffic (shadow). */
  readonly weight: number;
  readonly generation: number;
}

export interface StepResult extends RolloutStepView {
  readonly verdict: Verdict;
  readonly reason: string;
  readonly readings: readonly GuardrailReading[];
}

export interface Decision {
  readonly approver: string;
  readonly decision: 'approved' | 'rejected';
  readonly comment: string;
}

export interface ReleaseView {
  readonly releaseId: string;
  readonly phase: ReleasePhase;
  readonly outcome: ReleaseOutcome | null;
  readonly reason: string | null;
  readonly candidate: Digest | null;
  readonly bootstrap: boolean;
  readonly approvalsNeeded: number;
  readonly decisions: readonly Decision[];
  readonly paused: boolean;
  readonly step: RolloutStepView | null;
  readonly steps: readonly StepResult[];
  /** What it waits for, when that is a person. */
  readonly waitingFor: 'approval' | 'resume' | 'answer' | null;
}

export interface ApprovalRequest {
  readonly actor: string;
  /** Root digest of the candidate that the approver looked at. */
  readonly digest: Digest;
  readonly comment: string;
}

export interface OperatorRequest {
  readonly actor: string;
  readonly reason: string;
}

export interface ApprovalAnswer {
  readonly approved: number;
  readonly needed: number;
}

export const approveUpdate = defineUpdate<ApprovalAnswer, [ApprovalRequest]>('approve');
export const rejectUpdate = defineUpdate<ApprovalAnswer, [ApprovalRequest]>('reject');
export const pauseUpdate = defineUpdate<void, [OperatorRequest]>('pause');
export const resumeUpdate = defineUpdate<void, [OperatorRequest]>('resume');
export const skipStepUpdate = defineUpdate<void, [OperatorRequest]>('skipStep');
export const abortUpdate = defineUpdate<void, [OperatorRequest]>('abort');
export const promoteNowUpdate = defineUpdate<void, [OperatorRequest]>('promoteNow');
export const getReleaseQuery = defineQuery<ReleaseView>('getRelease');

/** What an operator wants from a running rollout; the release passes it on. */
export type RolloutCommand = OperatorRequest & {
  readonly kind: 'pause' | 'resume' | 'skipStep' | 'abort' | 'promoteNow';
};
export const commandSignal = defineSignal<[RolloutCommand]>('command');
/** A rollout tells its release where it stands. */
export const progressSignal = defineSignal<[RolloutProgress]>('progress');

export interface RolloutProgress {
  readonly phase: ReleasePhase;
  readonly step: RolloutStepView | null;
  readonly finished: StepResult | null;
  readonly waitingFor: 'resume' | 'answer' | null;
}

export interface ExperimentInput {
  readonly endpoint: string;
  readonly name: string;
  readonly actor: string;
}

export interface ExperimentResult {
  readonly endpoint: string;
  readonly name: string;
  readonly outcome: ExperimentOutcome;
  readonly reason: string;
  readonly winner: string | null;
}

export interface ExperimentRunView {
  /** Of the route that has the experiment; null until then. */
  readonly generation: number | null;
  /** Whether the arms have their shares. */
  readonly open: boolean;
  /** Why it is being stopped. */
  readonly stopping: string | null;
  readonly end: Pick<ExperimentResult, 'outcome' | 'reason' | 'winner'> | null;
}

export const stopExperimentUpdate = defineUpdate<ExperimentRunView, [OperatorRequest]>('stopExperiment');
/** Answers when the arms have their shares. */
export const awaitExperimentUpdate = defineUpdate<ExperimentRunView>('awaitExperiment');
export const getExperimentQuery = defineQuery<ExperimentRunView>('getExperiment');

/** Keeps a route guard quiet, and lets it go. */
export const renewSignal = defineSignal('renew');
export const releaseGuardSignal = defineSignal('releaseGuard');

/**
 * Pure rules of a release: who may say what when, and when the approvals suffice. Update validators, the API and
 * tests call the same functions, so a refusal reads the same everywhere.
 */
import { SlipwayError } from '../errors.ts';
import type { Digest } from '../routing/route.ts';
import type { ReleaseOutcome, ReleasePhase } from './release.ts';

export interface ReviewState {
  readonly phase: ReleasePhase;
  readonly outcome: ReleaseOutcome | null;
  readonly submittedBy: string;
  readonly candidate: Digest | null;
  readonly decisions: readonly { readonly approver: string; readonly decision: 'approved' | 'rejected' }[];
}

/**
 * Refuses a decision that would not count.
 * @throws SlipwayError WRONG_PHASE, STALE_REVIEW, FOUR_EYES or ALREADY_DECIDED
 */
export function checkDecision(
  state: ReviewState,
  request: { readonly actor: string; readonly digest: Digest },
): void {
  if (state.phase !== 'approve' || state.candidate === null) {
    throw new SlipwayError(
      'WRONG_PHASE',
      `the release is in phase ${state.phase}; decisions are taken in phase approve`,
    );
  }
  if (request.digest !== state.candidate) {
    throw new SlipwayError(
      'STALE_REVIEW',
      `under review is ${state.candidate}, not ${request.digest}; look again and decide on that one`,
    );
  }
  if (request.actor === state.submittedBy) {
    throw new SlipwayError('FOUR_EYES', `${request.actor} submitted this release; someone else must decide`);
  }
  const earlier = state.decisions.find(
    ({ approver, decision }) => approver === request.actor || decision === 'rejected',
  );
  if (earlier !== undefined) {
    throw new SlipwayError(
      'ALREADY_DECIDED',
      `${earlier.approver} has already ${earlier.decision} this candidate`,
    );
  }
}

export type RolloutCommandKind = 'pause' | 'resume' | 'skipStep' | 'abort' | 'promoteNow';

/** @throws SlipwayError WRONG_PHASE when the command makes no sense where the release stands. */
export function checkCommand(
  state: { readonly phase: ReleasePhase; readonly paused: boolean; readonly waiting: boolean },
  command: RolloutCommandKind,
): void {
  const refuse = (why: string): never => {
    throw new SlipwayError('WRONG_PHASE', `cannot ${command}: ${why}`);
  };
  if (state.phase === 'done' || state.phase === 'promote') refuse(`the release is in phase ${state.phase}`);
  if (command === 'abort') return;
  const rollingOut = state.phase === 'shadow' || state.phase === 'canary';
  if (!rollingOut) refuse(`the release is in phase ${state.phase}, not in shadow or canary`);
  if (command === 'pause' && state.paused) refuse('it is paused already');
  if (command === 'resume' && !state.paused && !state.waiting) refuse('it is not paused');
}

/** Whether enough people approved, nobody rejected, and none of the approvals has expired. */
export function approvalState(
  decisions: readonly { readonly decision: 'approved' | 'rejected'; readonly expiresAtMs: number }[],
  needed: number,
  nowMs: number,
): 'open' | 'approved' | 'rejected' {
  if (decisions.some(({ decision }) => decision === 'rejected')) return 'rejected';
  const standing = decisions.filter(({ expiresAtMs }) => expiresAtMs > nowMs);
  return standing.length >= needed ? 'approved' : 'open';
}

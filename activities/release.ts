/** Bookkeeping of a release: opening it, its timeline, and the signed decisions of its approvers. */
import type { Approval, ApprovalDecision } from '../domain/registry/model-version.ts';
import type { OpenedRelease } from '../domain/release/release.ts';
import type { Clock } from '../platform/clock.ts';
import type { ReleaseStore, VersionStore } from './ports.ts';

export type TimelineEntry = Parameters<ReleaseStore['record']>[0];

export interface DecisionRequest extends Omit<ApprovalDecision, 'decidedAt' | 'expiresAt'> {
  readonly validSeconds: number;
}

export interface ApprovalSigner {
  sign(decision: ApprovalDecision): Promise<Approval>;
}

export interface ReleaseDependencies {
  readonly releases: ReleaseStore;
  readonly versions: VersionStore;
  readonly signer: ApprovalSigner;
  readonly clock: Clock;
}

export function createReleaseActivities({ releases, versions, signer, clock }: ReleaseDependencies) {
  return {
    async openRelease(releaseId: string): Promise<OpenedRelease> {
      return releases.open(releaseId);
    },

    async recordPhase(entry: TimelineEntry): Promise<void> {
      await releases.record(entry);
    },

    /** Signs and keeps a decision. The store ignores a second one of the same approver, so a retry leaves one. */
    async recordDecision({
      validSeconds,
      ...decision
    }: DecisionRequest): Promise<{ readonly expiresAtMs: number }> {
      const nowMs = clock.now();
      const expiresAtMs = nowMs + validSeconds * 1000;
      const decidedAt = new Date(nowMs).toISOString();
      const expiresAt = new Date(expiresAtMs).toISOString();
      await versions.recordApproval(await signer.sign({ ...decision, decidedAt, expiresAt }));
      return { expiresAtMs };
    },
  };
}

export type ReleaseActivities = ReturnType<typeof createReleaseActivities>;

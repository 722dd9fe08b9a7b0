/** Who holds an endpoint's rollout, asked of Temporal itself. */
import { SlipwayError } from '../domain/errors.ts';

export interface RolloutOwnership {
  /** Whether this very run still runs. @throws UNAVAILABLE when that cannot be learnt now. */
  isRunning(workflowId: string, runId: string): Promise<boolean>;
  /** The release that the running rollout of an endpoint belongs to; null when none runs. */
  owner(endpoint: string): Promise<string | null>;
  /** Asks for an orderly end of the running rollout, and resolves when it has ended. */
  cancel(endpoint: string, reason: string): Promise<void>;
}

export function createRolloutOwnershipActivities({ rollouts }: { readonly rollouts: RolloutOwnership }) {
  return {
    /**
     * Makes way for this release's rollout. A rollout of the same release is left over from before a reset, and is
     * ended; anyone else's is in the way.
     * @throws ROLLOUT_IN_PROGRESS
     */
    async claimRollout({
      endpoint,
      releaseId,
    }: {
      readonly endpoint: string;
      readonly releaseId: string;
    }): Promise<void> {
      const owner = await rollouts.owner(endpoint);
      if (owner === null) return;
      if (owner !== releaseId) {
        throw new SlipwayError(
          'ROLLOUT_IN_PROGRESS',
          `release ${owner} is rolling out on ${endpoint}; wait for it or abort it`,
        );
      }
      await rollouts.cancel(endpoint, `release ${releaseId} starts its rollout anew`);
    },

    /**
     * Before every step forward: a rollout whose release was terminated, or reset to before it, must not go on. (A
     * reset leaves the children of the old run alone.)
     * @throws WRONG_PHASE
     */
    async confirmOwner(owner: { readonly workflowId: string; readonly runId: string }): Promise<void> {
      if (await rollouts.isRunning(owner.workflowId, owner.runId)) return;
      throw new SlipwayError(
        'WRONG_PHASE',
        `${owner.workflowId} no longer runs as it did when this rollout began`,
      );
    },

    /** After a rollback: the running rollout, if any, has been fenced off and may end. */
    async abortRollout({
      endpoint,
      actor,
      reason,
    }: {
      readonly endpoint: string;
      readonly actor: string;
      readonly reason: string;
    }): Promise<void> {
      if ((await rollouts.owner(endpoint)) !== null) await rollouts.cancel(endpoint, `${actor}: ${reason}`);
    },
  };
}

export type RolloutOwnershipActivities = ReturnType<typeof createRolloutOwnershipActivities>;

/**
 * `routeGuard`: gives the endpoint back to its champion when its rollout is gone, whatever took it.
 *
 * A `finally` in the rollout does not run when the rollout is terminated, and a child with a fixed id breaks on
 * reset. So the rollout starts this child before it touches traffic, with `parentClosePolicy: REQUEST_CANCEL` (the
 * server cancels it when the rollout is terminated, fails, times out or is cancelled), keeps it quiet by signal
 * through an external handle (a child handle's signals fail after a reset), and names it with a fresh suffix. When
 * the signals stop for `leaseSeconds`, it restores too. The epoch makes an old guard's restore a no-op.
 */
import {
  CancellationScope,
  condition,
  isCancellation,
  setCurrentDetails,
  setHandler,
} from '@temporalio/workflow';
import { restore } from './activity-options.ts';
import { releaseGuardSignal, renewSignal } from './messages.ts';

export interface RouteGuardInput {
  readonly endpoint: string;
  readonly epoch: number;
  readonly releaseId: string;
  readonly leaseSeconds: number;
}

export type RouteGuardResult = 'released' | 'restored: parent closed' | 'restored: parent silent';

export async function routeGuard(input: RouteGuardInput): Promise<RouteGuardResult> {
  let released = false;
  let renewals = 0;
  setHandler(releaseGuardSignal, () => void (released = true), {
    description: 'The rollout has ended in order',
  });
  setHandler(renewSignal, () => void renewals++, { description: 'The rollout is alive' });
  setCurrentDetails(
    `Guards the route of **${input.endpoint}** (epoch ${input.epoch}) for release ${input.releaseId}`,
  );
  try {
    for (;;) {
      const seen = renewals;
      const heard = await condition(() => released || renewals > seen, `${input.leaseSeconds}s`);
      if (released) return 'released';
      if (!heard) return await giveBack(input, 'parent silent');
    }
  } catch (error) {
    if (!isCancellation(error)) throw error;
    return released ? 'released' : await giveBack(input, 'parent closed');
  }
}

async function giveBack(
  input: RouteGuardInput,
  why: 'parent closed' | 'parent silent',
): Promise<RouteGuardResult> {
  const { endpoint, epoch, releaseId } = input;
  await CancellationScope.nonCancellable(() =>
    restore.restoreChampion.executeWithOptions({ summary: `restore champion: ${why}` }, [
      {
        endpoint,
        epoch,
        key: `guard/${endpoint}/${epoch}`,
        actor: 'route-guard',
        reason: `rollout ${why}`,
        releaseId,
      },
    ]),
  );
  return `restored: ${why}`;
}

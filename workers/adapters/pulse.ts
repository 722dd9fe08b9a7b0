import { Context } from '@temporalio/activity';
import type { ActivityPulse } from '../../activities/traffic.ts';

/** Cancellation and heartbeat of the activity that is running now. */
export function activityPulse(): ActivityPulse {
  const context = Context.current();
  return { signal: context.cancellationSignal, beat: (details) => context.heartbeat(details) };
}

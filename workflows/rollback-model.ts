/** `rollbackModel`: a former champion serves again. One route write when it stands by; never skips verification. */
import { CancellationScope, setCurrentDetails, upsertSearchAttributes } from '@temporalio/workflow';
import { gateways, registry, traffic } from './activity-options.ts';
import { SEARCH_ATTRIBUTES } from './messages.ts';
import type { RollbackInput, RollbackResult } from './messages.ts';

/** How long the former champion of a rollback stays loaded: long enough to change one's mind. */
const STANDBY_MS = 24 * 3_600_000;

export async function rollbackModel(input: RollbackInput): Promise<RollbackResult> {
  const { endpoint, actor, reason } = input;
  const startedMs = Date.now();
  const choice = await traffic.chooseRollback.executeWithOptions({ summary: 'choose a former champion' }, [
    { endpoint, ...(input.to === undefined ? {} : { to: input.to }) },
  ]);
  upsertSearchAttributes([
    { key: SEARCH_ATTRIBUTES.model, value: endpoint },
    { key: SEARCH_ATTRIBUTES.version, value: choice.to },
    { key: SEARCH_ATTRIBUTES.phase, value: 'rollback' },
  ]);
  setCurrentDetails(
    `**${endpoint}** goes back from \`${choice.from}\` to \`${choice.to}\`: ${reason} (${actor})`,
  );
  const { epoch } = await traffic.beginRollout(endpoint);
  const change = { kind: 'rollback', version: choice.to, standbyUntilMs: Date.now() + STANDBY_MS } as const;
  const { generation } = await traffic.changeRoute.executeWithOptions(
    { summary: `route to ${choice.to.slice(7, 19)}` },
    [{ endpoint, epoch, change, key: `rollback/${endpoint}/${epoch}`, actor, reason }],
  );
  await gateways.awaitGateways.executeWithOptions({ summary: 'every gateway applies it' }, [
    { endpoint, generation, version: choice.to, timeoutMs: 120_000 },
  ]);
  const milliseconds = Date.now() - startedMs;
  // A running rollout has been fenced off by the epoch; telling it spares its people a riddle.
  await CancellationScope.nonCancellable(() =>
    registry.abortRollout({ endpoint, actor, reason: `rolled back: ${reason}` }),
  );
  upsertSearchAttributes([{ key: SEARCH_ATTRIBUTES.outcome, value: 'rolled_back' }]);
  return { from: choice.from, to: choice.to, generation, milliseconds, wasStandby: choice.standby };
}

/** `rollbackModel`: a former champion serves again. One route write when it stands by; never skips verification. */
import { CancellationScope, setCurrentDetails, upsertSearchAttributes } from '@temporalio/workflow';
import type { Digest } from '../domain/routing/route.ts';
import { gateways, registry, traffic } from './activity-options.ts';
import { isFenced } from './failures.ts';
import { SEARCH_ATTRIBUTES } from './messages.ts';
import type { RollbackInput, RollbackResult } from './messages.ts';

/** How long the former champion of a rollback stays loaded: long enough to change one's mind. */
const STANDBY_MS = 24 * 3_600_000;

/** Epochs that a rollback takes before it gives up: each time somebody else began something in the same moment. */
const MAX_EPOCHS = 5;

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
  const generation = await takeBack(input, choice.to);
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

/** Whoever begins a rollout or an experiment meanwhile takes a newer epoch; a rollback goes before both of them. */
async function takeBack({ endpoint, actor, reason }: RollbackInput, version: Digest): Promise<number> {
  for (let attempt = 1; ; attempt += 1) {
    const { epoch } = await traffic.beginRollout(endpoint);
    const change = { kind: 'rollback', version, standbyUntilMs: Date.now() + STANDBY_MS } as const;
    try {
      const { generation } = await traffic.changeRoute.executeWithOptions(
        { summary: `route to ${version.slice(7, 19)}` },
        [{ endpoint, epoch, change, key: `rollback/${endpoint}/${epoch}`, actor, reason }],
      );
      return generation;
    } catch (error) {
      if (attempt === MAX_EPOCHS || !isFenced(error)) throw error;
    }
  }
}

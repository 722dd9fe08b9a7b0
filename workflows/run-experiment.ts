/**
 * `runExperiment`: an A/B experiment or a bandit on one endpoint, from its first route change to its end. It takes the
 * endpoint by a new epoch, as a rollout does; whoever takes it next (a rollout, a rollback) fences it off, and it ends
 * as interrupted. Whatever ends it, all traffic goes back to the champion: by the restore below, and by the gateways'
 * lease when the workflow itself is gone.
 */
import {
  CancellationScope,
  condition,
  isCancellation,
  log,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import type { PreparedExperiment } from '../activities/experiments.ts';
import type { ExperimentEnd } from '../activities/observe-experiment.ts';
import { SlipwayError } from '../domain/errors.ts';
import {
  experimentBookkeeping,
  experimentObservation,
  experimentRegistry,
  experimentRestore,
  gateways,
  traffic,
} from './activity-options.ts';
import { orFail, rootMessage } from './failures.ts';
import {
  awaitExperimentUpdate,
  getExperimentQuery,
  SEARCH_ATTRIBUTES,
  stopExperimentUpdate,
} from './messages.ts';
import type { ExperimentInput, ExperimentResult, ExperimentRunView, OperatorRequest } from './messages.ts';

const GATEWAY_TIMEOUT_MS = 120_000;
/** Within the time that whoever stops it waits. */
const RESTORE_TIMEOUT_MS = 10_000;

export async function runExperiment(input: ExperimentInput): Promise<ExperimentResult> {
  const { endpoint, name } = input;
  const run = new Experiment(input);
  setHandler(getExperimentQuery, () => run.view());
  setHandler(awaitExperimentUpdate, () => run.begun(), {
    description: 'waits until the arms have their shares',
  });
  setHandler(stopExperimentUpdate, (request: OperatorRequest) => run.stop(request), {
    description: 'ends it; the champion answers everything',
    validator: (_request: OperatorRequest) => orFail(() => run.requireStoppable()),
  });
  upsertSearchAttributes([
    { key: SEARCH_ATTRIBUTES.model, value: endpoint },
    { key: SEARCH_ATTRIBUTES.phase, value: 'experiment' },
  ]);
  setCurrentDetails(`Experiment **${name}** on **${endpoint}**, started by ${input.actor}`);
  const end = await run.toItsEnd();
  upsertSearchAttributes([{ key: SEARCH_ATTRIBUTES.outcome, value: end.outcome }]);
  setCurrentDetails(`Experiment **${name}** on **${endpoint}**: **${end.outcome}** – ${end.reason}`);
  await condition(() => run.isQuiet);
  return { endpoint, name, ...end };
}

class Experiment {
  private readonly input: ExperimentInput;
  private readonly observation = new CancellationScope();
  private epoch: number | null = null;
  private generation: number | null = null;
  private open = false;
  private stopped: OperatorRequest | null = null;
  private end: ExperimentEnd | null = null;
  private waiting = 0;

  constructor(input: ExperimentInput) {
    this.input = input;
  }

  /** No update is under way, so that the workflow may complete. */
  get isQuiet(): boolean {
    return this.waiting === 0;
  }

  view(): ExperimentRunView {
    const { generation, stopped, end, open } = this;
    return { generation, open, stopping: stopped?.reason ?? null, end };
  }

  async begun(): Promise<ExperimentRunView> {
    await this.whileWaiting(() => this.open || this.end !== null);
    return this.view();
  }

  requireStoppable(): void {
    if (this.end !== null || this.stopped !== null) {
      throw new SlipwayError('WRONG_PHASE', `experiment ${this.input.name} has ended or is being stopped`);
    }
  }

  /** Answers when the champion has everything back. */
  async stop(request: OperatorRequest): Promise<ExperimentRunView> {
    this.stopped = request;
    this.observation.cancel();
    await this.whileWaiting(() => this.end !== null);
    return this.view();
  }

  async toItsEnd(): Promise<ExperimentEnd> {
    let end: ExperimentEnd;
    try {
      end = await this.observation.run(() => this.run());
    } catch (error) {
      if (this.stopped !== null && isCancellation(error)) {
        const { actor, reason } = this.stopped;
        end = { outcome: 'stopped', reason: `${actor}: ${reason}`, winner: null };
      } else {
        const cancelled = isCancellation(error);
        const reason = cancelled ? 'the workflow was cancelled' : rootMessage(error);
        await this.giveBack({ outcome: cancelled ? 'stopped' : 'failed', reason, winner: null });
        throw error;
      }
    }
    await this.giveBack(end);
    return end;
  }

  private async run(): Promise<ExperimentEnd> {
    const { endpoint, name } = this.input;
    const { workflowId, runId } = workflowInfo();
    const prepared = await experimentRegistry.prepareExperiment.executeWithOptions(
      { summary: `versions for the arms of ${name}` },
      [{ endpoint, name }],
    );
    const { epoch } = await traffic.beginRollout.executeWithOptions({ summary: `take ${endpoint}` }, [
      endpoint,
    ]);
    this.epoch = epoch;
    const generation = await this.route(prepared, epoch);
    const { plan, arms } = prepared;
    const { actor } = this.input;
    // Not before every gateway has every arm: one that some of them lack would not get its share.
    const { startedAtMs } = await experimentRegistry.openExperiment.executeWithOptions(
      { summary: 'the arms get their shares' },
      [{ endpoint, name, plan, arms, generation, runId, actor }],
    );
    this.open = true;
    const owner = { workflowId, runId };
    return experimentObservation.observeExperiment.executeWithOptions({ summary: `observe ${name}` }, [
      { endpoint, name, plan, epoch, generation, startedAtMs, owner },
    ]);
  }

  private async route(
    { plan, arms, generation: expected }: PreparedExperiment,
    epoch: number,
  ): Promise<number> {
    const { endpoint, name, actor } = this.input;
    const { runId } = workflowInfo();
    const experiment = {
      name,
      arms,
      sticky: plan.policy.kind === 'ab',
      salt: `${endpoint}/${name}`,
      leaseMs: plan.leaseMs,
    };
    const request = {
      endpoint,
      epoch,
      change: { kind: 'experiment', experiment },
      expectedGeneration: expected,
      key: `experiment/${endpoint}/${name}/${runId}`,
      actor,
      reason: plan.hypothesis ?? `experiment ${name}`,
    } as const;
    // A stop meanwhile must find out what became of it.
    const { generation } = await CancellationScope.nonCancellable(() =>
      traffic.changeRoute.executeWithOptions({ summary: 'load the arms' }, [request]),
    );
    this.generation = generation;
    for (const { name: arm, version } of arms) {
      await gateways.awaitGateways.executeWithOptions({ summary: `every gateway has arm ${arm}` }, [
        { endpoint, generation, version, timeoutMs: GATEWAY_TIMEOUT_MS },
      ]);
    }
    return generation;
  }

  /** When somebody else has given the endpoint a new route there is nothing to give back. */
  private async giveBack(end: ExperimentEnd): Promise<void> {
    const { endpoint, name, actor } = this.input;
    const { runId } = workflowInfo();
    const { epoch } = this;
    await CancellationScope.nonCancellable(async () => {
      if (epoch !== null) {
        const { generation } = await experimentRestore.restoreFromExperiment.executeWithOptions(
          { summary: `restore champion: ${end.outcome}` },
          [{ endpoint, name, epoch, actor: this.stopped?.actor ?? 'experiment', reason: end.reason }],
        );
        if (generation !== null) await this.reportAcknowledged(generation);
      }
      await experimentBookkeeping.endExperiment.executeWithOptions({ summary: `ended: ${end.outcome}` }, [
        { endpoint, name, runId, actor: this.stopped?.actor ?? actor, ...end },
      ]);
    });
    this.end = end;
  }

  /** A gateway that does not answer has its lease; the end need not wait for it. */
  private async reportAcknowledged(generation: number): Promise<void> {
    const { endpoint } = this.input;
    try {
      await gateways.awaitGateways.executeWithOptions(
        { summary: 'every gateway is back with the champion' },
        [{ endpoint, generation, timeoutMs: RESTORE_TIMEOUT_MS }],
      );
    } catch (error) {
      log.warn('not every gateway has said that it is back with the champion', { error: rootMessage(error) });
    }
  }

  private async whileWaiting(done: () => boolean): Promise<void> {
    this.waiting += 1;
    try {
      await condition(done);
    } finally {
      this.waiting -= 1;
    }
  }
}

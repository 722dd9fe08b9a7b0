/**
 * `rolloutVersion`: shadow → canary steps → promote for one approved candidate, one rollout per endpoint at a time
 * (workflow id `rollout/<endpoint>`). It only waits and delegates: what a verdict means is decided in
 * `domain/rollout`, what changes traffic is an activity behind compare-and-set and epoch.
 *
 * Whatever ends it, the endpoint is left with a champion and no candidate: an orderly end restores or promotes, any
 * other end is the guard's (see `route-guard.ts`), and the gateways' lease covers the loss of Temporal itself.
 */
import {
  ApplicationFailure,
  CancellationScope,
  ChildWorkflowCancellationType,
  ParentClosePolicy,
  condition,
  getExternalWorkflowHandle,
  isCancellation,
  log,
  setCurrentDetails,
  setHandler,
  sleep,
  startChild,
  uuid4,
  workflowInfo,
} from '@temporalio/workflow';
import type { ExternalWorkflowHandle } from '@temporalio/workflow';
import type { GuardrailSpec, RolloutSpec } from '../domain/manifest/model-manifest.ts';
import type { ReleaseOutcome } from '../domain/release/release.ts';
import { afterVerdict, changeOf, planSteps } from '../domain/rollout/plan.ts';
import type { PlannedStep } from '../domain/rollout/plan.ts';
import type { StepVerdict } from '../domain/rollout/verdict.ts';
import type { Digest, RouteChange } from '../domain/routing/route.ts';
import { gateways, observation, registry, restore, traffic } from './activity-options.ts';
import { commandSignal, progressSignal, releaseGuardSignal, renewSignal } from './messages.ts';
import type { RolloutCommand, RolloutProgress, RolloutStepView, StepResult } from './messages.ts';
import { describeRollout } from './details.ts';
import { orFail } from './failures.ts';
import { routeGuard } from './route-guard.ts';

export interface RolloutInput {
  readonly releaseId: string;
  readonly endpoint: string;
  readonly candidate: Digest;
  /** The champion that the evidence and the approvals are about; null for a first release. */
  readonly comparedWith: Digest | null;
  readonly rollout: RolloutSpec;
  readonly guardrails: readonly GuardrailSpec[];
  readonly skipShadow: boolean;
  /** The run of the release that owns this rollout. */
  readonly owner: { readonly workflowId: string; readonly runId: string };
}

export interface RolloutOutcome {
  readonly outcome: Extract<ReleaseOutcome, 'promoted' | 'rolled_back' | 'aborted'>;
  readonly reason: string;
  readonly steps: readonly StepResult[];
  /** From the deciding verdict to the acknowledgement of every live gateway; null when nothing was decided by one. */
  readonly routeMs: number | null;
}

/**
 * How long a guard waits for a sign of life. What closes the rollout cancels the guard at once, and gateways have
 * leases of their own, so this is for the rest; each renewal costs 16 events of history, so it is not short, and longer
 * for rollouts that may last longer (51,200 events are the server's limit).
 */
function guardLeaseSeconds({ leaseSeconds, shadow, steps }: RolloutSpec): number {
  const longest = [...steps, ...(shadow === undefined ? [] : [shadow])].reduce(
    (sum, step) => sum + step.maxDurationSeconds,
    0,
  );
  return Math.max(600, 3 * leaseSeconds, Math.ceil(longest / 500));
}

const GATEWAY_TIMEOUT_MS = 120_000;
const FALSE_ALARM_BUDGET = 0.01;

export async function rolloutVersion(input: RolloutInput): Promise<RolloutOutcome> {
  const commands: RolloutCommand[] = [];
  setHandler(commandSignal, (command) => void commands.push(command), {
    description: 'pause, resume, skipStep, abort or promoteNow, passed on by the release',
  });
  const steps = orFail(() => planSteps(input.rollout, input.skipShadow));
  const { epoch, generation, champion } = await traffic.beginRollout.executeWithOptions(
    { summary: `take ${input.endpoint}` },
    [input.endpoint],
  );
  if (champion !== input.comparedWith) {
    const now = champion ?? 'none';
    const message = `the champion is ${now}, but the candidate was compared with ${input.comparedWith ?? 'none'}; release again`;
    throw ApplicationFailure.nonRetryable(message, 'WRONG_PHASE');
  }
  if (champion === null || generation === null) return bootstrap(input, epoch);

  const guard = await startGuard(input, epoch);
  const rollout = new Rollout(input, commands, epoch, generation);
  try {
    return await CancellationScope.cancellable(() => rollout.walk(steps));
  } catch (error) {
    const reason = isCancellation(error) ? 'the rollout was cancelled' : 'the rollout failed';
    await CancellationScope.nonCancellable(() => rollout.giveBack(reason));
    throw error;
  } finally {
    await guard.release();
  }
}

/** A first release: there is nobody to compare with; its extra approval was demanded before. */
async function bootstrap(input: RolloutInput, epoch: number): Promise<RolloutOutcome> {
  const { endpoint, releaseId, candidate } = input;
  const change = { kind: 'bootstrap', version: candidate } as const;
  const key = `${releaseId}/bootstrap`;
  const { generation } = await traffic.changeRoute.executeWithOptions({ summary: 'first champion' }, [
    { endpoint, epoch, change, key, actor: 'rollout', reason: 'first champion of the endpoint', releaseId },
  ]);
  await gateways.awaitGateways.executeWithOptions({ summary: 'every gateway serves it' }, [
    { endpoint, generation, version: candidate, timeoutMs: GATEWAY_TIMEOUT_MS },
  ]);
  return { outcome: 'promoted', reason: 'first champion of the endpoint', steps: [], routeMs: null };
}

interface Guard {
  /** Lets it go, after the endpoint has been left in order. */
  release(): Promise<void>;
}

async function startGuard({ endpoint, releaseId, rollout }: RolloutInput, epoch: number): Promise<Guard> {
  const leaseSeconds = guardLeaseSeconds(rollout);
  const workflowId = `${workflowInfo().workflowId}/guard/${uuid4().slice(0, 8)}`;
  await startChild(routeGuard, {
    workflowId,
    args: [{ endpoint, epoch, releaseId, leaseSeconds }],
    parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
    // An orderly cancellation of the rollout is handled by the rollout; the guard is for the disorderly ones.
    cancellationType: ChildWorkflowCancellationType.ABANDON,
    staticSummary: `Guards the route of ${endpoint} for ${releaseId}`,
  });
  const handle = getExternalWorkflowHandle(workflowId);
  const scope = new CancellationScope();
  scope
    .run(async () => {
      for (;;) {
        await sleep(`${leaseSeconds / 3}s`, { summary: 'renew the guard' });
        await handle.signal(renewSignal);
      }
    })
    .catch((error: unknown) => {
      // Without renewals the guard restores the champion: the safe direction, so the rollout need not fail here.
      if (!isCancellation(error))
        log.warn('the route guard can no longer be renewed', { error: String(error) });
    });
  return {
    async release() {
      scope.cancel();
      try {
        await CancellationScope.nonCancellable(() => handle.signal(releaseGuardSignal));
      } catch (error) {
        // It has ended already, and whatever it restored was fenced by the epoch: not a reason to lose the outcome.
        log.warn('the route guard could not be let go', { error: String(error) });
      }
    },
  };
}

/** The walk through the steps; state that several of its parts share. */
class Rollout {
  private readonly results: StepResult[] = [];
  private readonly release: ExternalWorkflowHandle;
  private readonly input: RolloutInput;
  private readonly commands: RolloutCommand[];
  private readonly epoch: number;
  private readonly firstGeneration: number;
  private generation: number;
  private paused = false;

  constructor(input: RolloutInput, commands: RolloutCommand[], epoch: number, generation: number) {
    this.input = input;
    this.commands = commands;
    this.epoch = epoch;
    this.firstGeneration = generation;
    this.generation = generation;
    this.release = getExternalWorkflowHandle(input.owner.workflowId);
  }

  async walk(steps: readonly PlannedStep[]): Promise<RolloutOutcome> {
    const { candidate, rollout, releaseId } = this.input;
    const leaseMs = rollout.leaseSeconds * 1000;
    await this.change(
      { kind: 'prepare', version: candidate, salt: releaseId, leaseMs },
      'prepare',
      'load the candidate',
    );
    for (const step of steps) {
      const end = await this.runStep(step, steps.length);
      if (end.kind === 'promote') break;
      if (end.kind === 'advance') continue;
      const startedMs = Date.now();
      await this.giveBack(end.reason);
      return { outcome: end.kind, reason: end.reason, steps: this.results, routeMs: Date.now() - startedMs };
    }
    return this.promote();
  }

  /** All traffic back to the champion, acknowledged by the gateways that live. Never given up. */
  async giveBack(reason: string): Promise<void> {
    const { endpoint, releaseId } = this.input;
    const { epoch } = this;
    const { generation } = await restore.restoreChampion.executeWithOptions(
      { summary: `restore champion: ${reason}`.slice(0, 200) },
      [{ endpoint, epoch, key: `${releaseId}/restore/${epoch}`, actor: 'rollout', reason, releaseId }],
    );
    // Null: a newer rollout or rollback owns the endpoint, and its own route is what gateways follow.
    if (generation !== null)
      await this.reportAcknowledged(generation, 'every gateway is back with the champion');
  }

  /** Once the route says so the candidate is the champion, whatever comes after: it cannot be half promoted. */
  private async promote(): Promise<RolloutOutcome> {
    const { candidate, rollout } = this.input;
    await this.tell({ phase: 'promote', step: null, finished: null, waitingFor: null });
    const startedMs = Date.now();
    const standbyUntilMs = startedMs + rollout.guardForSeconds * 1000;
    await CancellationScope.nonCancellable(async () => {
      await this.write({ kind: 'promote', version: candidate, standbyUntilMs }, 'promote', 'promote');
      await this.reportAcknowledged(this.generation, 'every gateway: promote');
    });
    const reason = `proven safe in ${this.results.filter(({ verdict }) => verdict === 'PROVEN_SAFE').length} steps`;
    return { outcome: 'promoted', reason, steps: this.results, routeMs: Date.now() - startedMs };
  }

  private async runStep(step: PlannedStep, count: number): Promise<StepEnd> {
    const name = `${step.kind} ${step.weight} %`;
    await this.change(changeOf(step, this.input.candidate), `step/${step.index}`, name);
    const view: RolloutStepView = {
      kind: step.kind,
      index: step.index,
      weight: step.weight,
      generation: this.generation,
    };
    await this.tell({ phase: step.kind, step: view, finished: null, waitingFor: null });
    let startedAtMs = Date.now();
    let deadlineMs: number | null = null;
    for (;;) {
      setCurrentDetails(describeRollout(this.input, view, this.results, this.paused));
      const seen = await this.watch(step, count, startedAtMs, deadlineMs);
      if (seen.kind === 'timeout')
        return { kind: 'rolled_back', reason: `nobody answered in time: ${this.lastReason()}` };
      if (seen.kind === 'command') {
        const end = this.obey(seen.command);
        if (end !== null) return end;
        await this.tell({
          phase: step.kind,
          step: view,
          finished: null,
          waitingFor: this.paused ? 'resume' : null,
        });
        // A resume gives the step its whole time again.
        if (seen.command.kind === 'resume') startedAtMs = Date.now();
        deadlineMs = null;
        continue;
      }
      const finished: StepResult = { ...view, ...seen.verdict };
      this.results.push(finished);
      const next = afterVerdict(seen.verdict.verdict, this.input.rollout.onInconclusive);
      await this.tell({
        phase: step.kind,
        step: view,
        finished,
        waitingFor: next === 'ask' ? 'answer' : next === 'hold' ? 'resume' : null,
      });
      if (next === 'advance') return { kind: 'advance' };
      if (next === 'rollback')
        return { kind: 'rolled_back', reason: `${seen.verdict.verdict}: ${seen.verdict.reason}` };
      this.paused = true;
      if (next === 'ask') deadlineMs = Date.now() + this.input.rollout.askTimeoutSeconds * 1000;
    }
  }

  /** Observes until a verdict, a command or the deadline, whichever is first. While paused it holds. */
  private async watch(
    step: PlannedStep,
    count: number,
    startedAtMs: number,
    deadlineMs: number | null,
  ): Promise<Seen> {
    const { endpoint, candidate, guardrails, rollout, owner } = this.input;
    const scope = new CancellationScope();
    let verdict: StepVerdict | undefined;
    let failure: unknown;
    scope
      .run(() =>
        observation.observeStep.executeWithOptions(
          { summary: `observe ${step.kind} ${step.weight} %${this.paused ? ' (held)' : ''}` },
          [
            {
              endpoint,
              generation: this.generation,
              epoch: this.epoch,
              firstGeneration: this.firstGeneration,
              candidate,
              kind: step.kind,
              share: step.share,
              guardrails,
              minSamples: step.minSamples,
              minDurationMs: step.minDurationMs,
              maxDurationMs: step.maxDurationMs,
              // Each step judges its own evidence, so the budget of the whole rollout is split over them.
              alphaRegression: FALSE_ALARM_BUDGET / count,
              leaseMs: rollout.leaseSeconds * 1000,
              startedAtMs,
              hold: this.paused,
              owner,
            },
          ],
        ),
      )
      .then(
        (value) => void (verdict = value),
        (error: unknown) => void (failure = error),
      );
    const settled = (): boolean => verdict !== undefined || failure !== undefined || this.commands.length > 0;
    if (deadlineMs === null) await condition(settled);
    else if (
      !(await condition(settled, Math.max(0, deadlineMs - Date.now()), { summary: 'wait for an answer' }))
    ) {
      scope.cancel();
      return { kind: 'timeout' };
    }
    const command = this.commands.shift();
    if (command !== undefined) {
      scope.cancel();
      return { kind: 'command', command };
    }
    if (verdict !== undefined) return { kind: 'verdict', verdict };
    throw failure;
  }

  private obey(command: RolloutCommand): StepEnd | null {
    const why = `${command.actor}: ${command.reason}`;
    switch (command.kind) {
      case 'pause':
        this.paused = true;
        return null;
      case 'resume':
        this.paused = false;
        return null;
      case 'skipStep':
        this.paused = false;
        return { kind: 'advance' };
      case 'abort':
        return { kind: 'aborted', reason: `aborted by ${why}` };
      case 'promoteNow':
        return { kind: 'promote' };
      default:
        throw ApplicationFailure.nonRetryable(`unknown command ${JSON.stringify(command)}`, 'INTERNAL');
    }
  }

  private async change(change: RouteChange, key: string, summary: string): Promise<void> {
    await this.write(change, key, summary);
    await this.acknowledged(this.generation, `every gateway: ${summary}`, this.input.candidate);
  }

  private async write(change: RouteChange, key: string, summary: string): Promise<void> {
    const { endpoint, releaseId, owner } = this.input;
    const { epoch, generation: expectedGeneration } = this;
    await registry.confirmOwner.executeWithOptions({ summary: `${owner.workflowId} still wants it` }, [
      owner,
    ]);
    const { generation } = await traffic.changeRoute.executeWithOptions({ summary }, [
      {
        endpoint,
        epoch,
        change,
        expectedGeneration,
        key: `${releaseId}/${key}/${epoch}`,
        actor: 'rollout',
        reason: summary,
        releaseId,
      },
    ]);
    this.generation = generation;
  }

  private async acknowledged(generation: number, summary: string, version?: Digest): Promise<void> {
    const { endpoint } = this.input;
    await gateways.awaitGateways.executeWithOptions({ summary }, [
      { endpoint, generation, timeoutMs: GATEWAY_TIMEOUT_MS, ...(version === undefined ? {} : { version }) },
    ]);
  }

  /** For writes that stand whatever the gateways say: those that are late follow by themselves. */
  private async reportAcknowledged(generation: number, summary: string): Promise<void> {
    try {
      await this.acknowledged(generation, summary);
    } catch (error) {
      log.warn('not every gateway has acknowledged the route yet', { generation, error: String(error) });
    }
  }

  private async tell(progress: RolloutProgress): Promise<void> {
    await this.release.signal(progressSignal, progress);
  }

  private lastReason(): string {
    return this.results.at(-1)?.reason ?? 'no verdict';
  }
}

type StepEnd =
  | { readonly kind: 'advance' }
  | { readonly kind: 'promote' }
  | { readonly kind: 'rolled_back' | 'aborted'; readonly reason: string };

type Seen =
  | { readonly kind: 'verdict'; readonly verdict: StepVerdict }
  | { readonly kind: 'command'; readonly command: RolloutCommand }
  | { readonly kind: 'timeout' };

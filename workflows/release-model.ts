/**
 * `releaseModel`: snapshot → train → validate → register → approve → shadow → canary → promote. It waits and
 * delegates; who may say what is decided in `domain/release/decide.ts`. Every end but `promoted` leaves the champion
 * as it was.
 */
import {
  CancellationScope,
  ParentClosePolicy,
  allHandlersFinished,
  condition,
  executeChild,
  getExternalWorkflowHandle,
  isCancellation,
  log,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import { approvalsNeeded } from '../domain/manifest/model-manifest.ts';
import { approvalState, checkCommand, checkDecision } from '../domain/release/decide.ts';
import type { OpenedRelease, ReleaseOutcome, ReleasePhase } from '../domain/release/release.ts';
import type { Digest } from '../domain/routing/route.ts';
import { bookkeeping, data, registry } from './activity-options.ts';
import { describeRelease } from './details.ts';
import { orFail, rootMessage } from './failures.ts';
import {
  SEARCH_ATTRIBUTES,
  abortUpdate,
  approveUpdate,
  commandSignal,
  getReleaseQuery,
  pauseUpdate,
  progressSignal,
  promoteNowUpdate,
  rejectUpdate,
  resumeUpdate,
  rolloutWorkflowId,
  skipStepUpdate,
} from './messages.ts';
import type {
  ApprovalAnswer,
  ApprovalRequest,
  Decision,
  OperatorRequest,
  ReleaseInput,
  ReleaseView,
  RolloutCommand,
} from './messages.ts';
import { rolloutVersion } from './rollout-version.ts';
import type { RolloutOutcome } from './rollout-version.ts';
import { trainModel } from './train-model.ts';

export interface ReleaseResult {
  readonly outcome: ReleaseOutcome;
  readonly reason: string;
  readonly candidate: Digest | null;
}

export async function releaseModel(input: ReleaseInput): Promise<ReleaseResult> {
  const release = new ReleaseRun(input);
  release.listen();
  try {
    const result = await release.walk();
    await release.finish(result.outcome, result.reason);
    await condition(allHandlersFinished);
    return result;
  } catch (error) {
    const cancelled = isCancellation(error);
    const reason = cancelled ? 'the release was cancelled' : rootMessage(error);
    await CancellationScope.nonCancellable(() => release.finish(cancelled ? 'aborted' : 'failed', reason));
    throw error;
  }
}

class ReleaseRun {
  private readonly input: ReleaseInput;
  private view: ReleaseView;
  private opened: OpenedRelease | undefined;
  private evidenceDigest = '';
  private readonly expiries = new Map<string, number>();
  private aborted: OperatorRequest | undefined;
  private remarks: Promise<void> = Promise.resolve();
  private readonly body = new CancellationScope();

  constructor(input: ReleaseInput) {
    this.input = input;
    this.view = {
      releaseId: input.releaseId,
      phase: 'snapshot',
      outcome: null,
      reason: null,
      candidate: null,
      bootstrap: false,
      approvalsNeeded: 1,
      decisions: [],
      paused: false,
      step: null,
      steps: [],
      waitingFor: null,
    };
  }

  /** All handlers, before the first await: an update that finds none is rejected, not kept. */
  listen(): void {
    setHandler(getReleaseQuery, () => this.view, { description: 'Where the release stands' });
    setHandler(approveUpdate, (request) => this.decide('approved', request), {
      validator: (request) => orFail(() => checkDecision(this.review(), request)),
      description: 'Approve exactly this candidate digest',
    });
    setHandler(rejectUpdate, (request) => this.decide('rejected', request), {
      validator: (request) => orFail(() => checkDecision(this.review(), request)),
      description: 'Reject exactly this candidate digest, for good',
    });
    const commands = {
      pause: pauseUpdate,
      resume: resumeUpdate,
      skipStep: skipStepUpdate,
      abort: abortUpdate,
      promoteNow: promoteNowUpdate,
    };
    for (const kind of ['pause', 'resume', 'skipStep', 'abort', 'promoteNow'] as const) {
      setHandler(commands[kind], (request) => this.command({ kind, ...request }), {
        validator: (_request: OperatorRequest) =>
          orFail(() =>
            checkCommand(
              { phase: this.view.phase, paused: this.view.paused, waiting: this.view.waitingFor !== null },
              kind,
            ),
          ),
        description: `${kind}, with the reason`,
      });
    }
    setHandler(progressSignal, ({ phase, step, finished, waitingFor }) => {
      const steps = finished === null ? this.view.steps : [...this.view.steps, finished];
      const changed = phase !== this.view.phase || step?.index !== this.view.step?.index;
      this.show({ phase, step, steps, waitingFor, paused: waitingFor !== null });
      if (finished !== null) {
        const { kind, weight, verdict, reason } = finished;
        this.remark(`step/${steps.length}`, `${kind} ${weight} %: ${verdict} – ${reason}`, { ...finished });
      } else if (changed && step !== null) {
        this.remark(`enter/${step.index}/${step.generation}`, `${step.kind} at ${step.weight} %`, {
          ...step,
        });
      }
    });
  }

  async walk(): Promise<ReleaseResult> {
    try {
      return await this.body.run(() => this.steps());
    } catch (error) {
      if (this.aborted === undefined || !isCancellation(error)) throw error;
      return this.result('aborted', `aborted by ${this.aborted.actor}: ${this.aborted.reason}`);
    }
  }

  async finish(outcome: ReleaseOutcome, reason: string): Promise<void> {
    await this.remarks;
    this.show({ phase: 'done', outcome, reason, step: null, waitingFor: null });
    upsertSearchAttributes([{ key: SEARCH_ATTRIBUTES.outcome, value: outcome }]);
    const { releaseId } = this.input;
    await bookkeeping.recordPhase.executeWithOptions({ summary: outcome }, [
      { releaseId, key: this.key('done'), phase: 'done', message: `${outcome}: ${reason}`, outcome, reason },
    ]);
  }

  private async steps(): Promise<ReleaseResult> {
    const { releaseId, model, submittedBy } = this.input;
    upsertSearchAttributes([{ key: SEARCH_ATTRIBUTES.model, value: model }]);
    const opened = await registry.openRelease.executeWithOptions({ summary: `open ${releaseId}` }, [
      releaseId,
    ]);
    this.opened = opened;
    const { manifest, champion } = opened;
    const bootstrap = champion === null;
    this.show({ bootstrap, approvalsNeeded: approvalsNeeded(manifest.riskTier, bootstrap) });

    await this.enter('snapshot', 'snapshot of the training data');
    const dataset = await data.snapshotDataset.executeWithOptions({ summary: 'dataset snapshot' }, [
      { releaseId, manifest },
    ]);
    await this.enter('train', `training on ${dataset.rows} rows, dataset ${dataset.digest}`);
    const trained = await executeChild(trainModel, {
      workflowId: `${workflowInfo().workflowId}/train`,
      args: [{ releaseId, manifest, dataset }],
      staticSummary: `Trains ${releaseId}`,
      parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
    });
    await this.enter('validate', trained.cached ? 'the same training was found in the cache' : 'trained');
    const { files, job } = trained;
    const validation = await data.validateCandidate.executeWithOptions({ summary: 'evidence and gates' }, [
      { releaseId, manifest, dataset, files, champion },
    ]);
    this.evidenceDigest = validation.evidenceDigest;
    await this.note('gates', validation.summary, {
      gates: validation.gates,
      evidenceDigest: validation.evidenceDigest,
    });
    if (!validation.passed) return this.result('denied', validation.summary);

    await this.enter('register', 'register and sign');
    const { digest } = await registry.registerVersion.executeWithOptions(
      { summary: 'immutable, signed version' },
      [{ releaseId, submittedBy, manifest, dataset, job, files, champion }],
    );
    this.show({ candidate: digest });
    upsertSearchAttributes([{ key: SEARCH_ATTRIBUTES.version, value: digest }]);

    const refusal = await this.awaitApprovals();
    if (refusal !== null) return this.result('rejected', refusal);
    const outcome = await this.rollOut(digest, opened);
    return this.result(outcome.outcome, outcome.reason);
  }

  private async rollOut(candidate: Digest, { manifest, champion }: OpenedRelease): Promise<RolloutOutcome> {
    const { releaseId, model: endpoint, skipShadow } = this.input;
    await registry.claimRollout.executeWithOptions({ summary: `claim ${endpoint}` }, [
      { endpoint, releaseId },
    ]);
    const { workflowId, runId } = workflowInfo();
    const outcome = await executeChild(rolloutVersion, {
      workflowId: rolloutWorkflowId(endpoint),
      args: [
        {
          releaseId,
          endpoint,
          candidate,
          comparedWith: champion,
          rollout: manifest.rollout,
          guardrails: manifest.guardrails,
          skipShadow,
          owner: { workflowId, runId },
        },
      ],
      staticSummary: `Rolls out ${releaseId}`,
      parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
    });
    const took = outcome.routeMs === null ? '' : ` in ${outcome.routeMs} ms`;
    await this.note('route', `route changed and acknowledged by every gateway${took}`, {
      routeMs: outcome.routeMs,
    });
    return outcome;
  }

  /** @returns why it may not go on, or null when enough people approved. */
  private async awaitApprovals(): Promise<string | null> {
    const { manifest } = this.opened!;
    const needed = this.view.approvalsNeeded;
    await this.enter(
      'approve',
      `waits for ${needed} approval${needed === 1 ? '' : 's'}${this.view.bootstrap ? ' (a first release has no champion to compare with and needs one more)' : ''}`,
    );
    this.show({ waitingFor: 'approval' });
    const state = (): ReturnType<typeof approvalState> =>
      approvalState(
        this.view.decisions
          .filter(({ approver }) => this.expiries.has(approver))
          .map(({ approver, decision }) => ({ decision, expiresAtMs: this.expiries.get(approver)! })),
        needed,
        Date.now(),
      );
    const decided = await condition(() => state() !== 'open', `${manifest.approval.timeoutSeconds}s`, {
      summary: 'approval deadline',
    });
    this.show({ waitingFor: null });
    if (!decided) return `no ${needed} approvals within ${manifest.approval.timeoutSeconds} s`;
    const rejection = this.view.decisions.find(({ decision }) => decision === 'rejected');
    return rejection === undefined ? null : `rejected by ${rejection.approver}: ${rejection.comment}`;
  }

  private async decide(
    decision: 'approved' | 'rejected',
    { actor, digest, comment }: ApprovalRequest,
  ): Promise<ApprovalAnswer> {
    const { manifest, policyDigest } = this.opened!;
    // Counted before the first await, so that the same person's second decision is refused while this one is signed.
    const taken: Decision = { approver: actor, decision, comment };
    this.show({ decisions: [...this.view.decisions, taken] });
    const signing = registry.recordDecision.executeWithOptions({ summary: `${decision} by ${actor}` }, [
      {
        model: this.input.model,
        subjectDigest: digest,
        policyDigest,
        evidenceDigest: this.evidenceDigest,
        approver: actor,
        decision,
        comment,
        requiredApprovals: this.view.approvalsNeeded,
        validSeconds: manifest.approval.validSeconds,
      },
    ]);
    let expiresAtMs: number;
    try {
      ({ expiresAtMs } = await signing);
    } catch (error) {
      // What could not be kept does not count, and may be said again.
      this.show({ decisions: this.view.decisions.filter((entry) => entry !== taken) });
      throw error;
    }
    await this.note(`decision/${actor}`, `${decision} by ${actor}${comment === '' ? '' : `: ${comment}`}`, {
      digest,
    });
    this.expiries.set(actor, expiresAtMs);
    const approved = this.view.decisions.filter((entry) => entry.decision === 'approved').length;
    return { approved, needed: this.view.approvalsNeeded };
  }

  /** Acts first: a registry that is away must not hold up an abort. */
  private async command(command: RolloutCommand): Promise<void> {
    const { kind, actor, reason } = command;
    const { phase, steps } = this.view;
    if (phase === 'shadow' || phase === 'canary') {
      await getExternalWorkflowHandle(rolloutWorkflowId(this.input.model)).signal(commandSignal, command);
      if (kind === 'pause') this.show({ paused: true });
      if (kind === 'resume') this.show({ paused: false, waitingFor: null });
    } else {
      this.aborted = { actor, reason };
      this.body.cancel();
    }
    this.remark(`command/${steps.length}/${kind}/${Date.now()}`, `${kind} by ${actor}: ${reason}`, {});
  }

  private review(): Parameters<typeof checkDecision>[0] {
    const { phase, outcome, candidate, decisions } = this.view;
    return { phase, outcome, candidate, decisions, submittedBy: this.input.submittedBy };
  }

  private result(outcome: ReleaseOutcome, reason: string): ReleaseResult {
    return { outcome, reason, candidate: this.view.candidate };
  }

  private async enter(phase: ReleasePhase, message: string): Promise<void> {
    this.show({ phase });
    await this.note(`enter/${phase}`, message, {});
  }

  /** One line of the timeline; the key makes a retry harmless. */
  private async note(key: string, message: string, detail: Readonly<Record<string, unknown>>): Promise<void> {
    const { releaseId } = this.input;
    const { phase, candidate } = this.view;
    await registry.recordPhase.executeWithOptions({ summary: message.slice(0, 200) }, [
      {
        releaseId,
        key: this.key(key),
        phase,
        message,
        detail,
        ...(candidate === null ? {} : { candidate }),
      },
    ]);
  }

  /** A line that nobody waits for, in the order of the calls: a failed one must neither fail the release nor be lost in silence. */
  private remark(key: string, message: string, detail: Readonly<Record<string, unknown>>): void {
    this.remarks = this.remarks
      .then(() => CancellationScope.nonCancellable(() => this.note(key, message, detail)))
      .catch((error: unknown) =>
        log.warn('a line of the timeline could not be kept', { message, error: String(error) }),
      );
  }

  /** Unique to the run: after a reset the same steps are new lines. */
  private key(name: string): string {
    return `${this.input.releaseId}/${workflowInfo().runId}/${name}`;
  }

  private show(change: Partial<ReleaseView>): void {
    if (change.phase !== undefined && change.phase !== this.view.phase) {
      upsertSearchAttributes([{ key: SEARCH_ATTRIBUTES.phase, value: change.phase }]);
    }
    this.view = { ...this.view, ...change };
    setCurrentDetails(describeRelease(this.view));
  }
}

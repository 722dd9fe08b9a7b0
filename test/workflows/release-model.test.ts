import { strict as assert } from 'node:assert';
import { WorkflowFailedError, WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { after, before, describe, it } from 'mocha';
import {
  abortUpdate,
  approveUpdate,
  getReleaseQuery,
  pauseUpdate,
  promoteNowUpdate,
  rejectUpdate,
  resumeUpdate,
  skipStepUpdate,
} from '../../workflows/messages.ts';
import type { ReleaseView } from '../../workflows/messages.ts';
import type { ReleaseResult } from '../../workflows/release-model.ts';
import { openWorkflowStage, PROVEN, refusal, untilCancelled } from './workflow-stage.ts';
import type { WorkflowStage } from './workflow-stage.ts';

type Handle = Awaited<ReturnType<WorkflowStage['start']>>;
const digest = 'sha256:new';
const operator = { actor: 'ops', reason: 'because' };

describe('releaseModel', function () {
  this.timeout(60_000);
  let stage: WorkflowStage;

  before(async () => {
    stage = await openWorkflowStage();
  });
  after(() => stage.close());

  async function view(handle: Handle, until: (seen: ReleaseView) => boolean): Promise<ReleaseView> {
    for (let i = 0; i < 300; i++) {
      const seen = await handle.query(getReleaseQuery);
      if (until(seen)) return seen;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`never seen: ${JSON.stringify(await handle.query(getReleaseQuery))}`);
  }
  const inReview = (handle: Handle) => view(handle, ({ waitingFor }) => waitingFor === 'approval');
  const approve = async (handle: Handle, actor = 'bob'): Promise<void> => {
    await inReview(handle);
    await handle.executeUpdate(approveUpdate, { args: [{ actor, digest, comment: '' }] });
  };
  const result = (handle: Handle): Promise<ReleaseResult> => handle.result() as Promise<ReleaseResult>;
  const refused = (type: string) => (error: unknown) =>
    error instanceof WorkflowUpdateFailedError &&
    error.cause instanceof ApplicationFailure &&
    error.cause.type === type;
  /** Steps end by command only. */
  const watching = { observeStep: untilCancelled };

  it('promotes step by step, each after its proof', async () => {
    const handle = await stage.start();
    await approve(handle);
    assert.equal((await result(handle)).outcome, 'promoted');
    const traffic = stage.calls.filter((call) => /changeRoute|observe|restore/.test(call));
    assert.deepEqual(traffic, [
      'changeRoute prepare',
      'changeRoute shadow',
      'observeStep',
      'changeRoute canary',
      'observeStep',
      'changeRoute canary',
      'observeStep',
      'changeRoute promote',
    ]);
  });

  it('refuses a wrong approval on the spot, with the code of the reason, and leaves no trace of it', async () => {
    const handle = await stage.start();
    await inReview(handle);
    const say = (actor: string, about = digest) =>
      handle.executeUpdate(approveUpdate, { args: [{ actor, digest: about, comment: '' }] });
    await assert.rejects(say('ann'), refused('FOUR_EYES'));
    await assert.rejects(say('bob', 'sha256:other'), refused('STALE_REVIEW'));
    await assert.rejects(handle.executeUpdate(pauseUpdate, { args: [operator] }), refused('WRONG_PHASE'));
    assert.deepEqual((await inReview(handle)).decisions, []);
    await handle.executeUpdate(rejectUpdate, { args: [{ actor: 'bob', digest, comment: 'no' }] });
    assert.deepEqual(await result(handle), {
      outcome: 'rejected',
      reason: 'rejected by bob: no',
      candidate: digest,
    });
    assert.ok(!stage.calls.some((call) => call.startsWith('changeRoute')), 'no traffic was touched');
  });

  it('a decision that could not be kept does not count, and may be said again', async () => {
    let broken = true;
    const handle = await stage.start({
      recordDecision: () => {
        if (!broken) return { expiresAtMs: Date.now() + 60_000 };
        broken = false;
        throw refusal('INTERNAL');
      },
    });
    await inReview(handle);
    const say = () => handle.executeUpdate(approveUpdate, { args: [{ actor: 'bob', digest, comment: '' }] });
    await assert.rejects(say());
    await say();
    assert.equal((await result(handle)).outcome, 'promoted');
  });

  it('a denied gate ends it before anything is registered', async () => {
    const handle = await stage.start({
      validateCandidate: () => ({
        evidenceDigest: 'sha256:e',
        passed: false,
        gates: [],
        summary: 'too slow',
      }),
    });
    assert.deepEqual(await result(handle), { outcome: 'denied', reason: 'too slow', candidate: null });
    assert.ok(!stage.calls.includes('registerVersion'));
  });

  it('a regression restores the champion', async () => {
    const handle = await stage.start({
      observeStep: () => ({ verdict: 'REGRESSION', reason: 'bad', readings: [] }),
    });
    await approve(handle);
    const { outcome, reason } = await result(handle);
    assert.deepEqual([outcome, reason], ['rolled_back', 'REGRESSION: bad']);
    assert.ok(stage.calls.includes('restoreChampion') && !stage.calls.includes('changeRoute promote'));
  });

  it('an inconclusive step asks a person, and resume gives it its time again', async () => {
    let looks = 0;
    const handle = await stage.start({
      observeStep: ({ hold }: { hold: boolean }) => {
        if (hold) return untilCancelled();
        return ++looks === 1 ? { verdict: 'INCONCLUSIVE', reason: 'too little', readings: [] } : PROVEN;
      },
    });
    await approve(handle);
    await view(handle, ({ waitingFor }) => waitingFor === 'answer');
    await handle.executeUpdate(resumeUpdate, { args: [operator] });
    assert.equal((await result(handle)).outcome, 'promoted');
  });

  it('pause holds, skipStep advances, promoteNow ends the proof, each on purpose', async () => {
    const handle = await stage.start(watching);
    await approve(handle);
    await view(handle, ({ step }) => step?.kind === 'shadow');
    await handle.executeUpdate(pauseUpdate, { args: [operator] });
    await assert.rejects(handle.executeUpdate(pauseUpdate, { args: [operator] }), refused('WRONG_PHASE'));
    await handle.executeUpdate(skipStepUpdate, { args: [operator] });
    await view(handle, ({ step }) => step?.index === 1);
    await handle.executeUpdate(promoteNowUpdate, { args: [operator] });
    assert.equal((await result(handle)).outcome, 'promoted');
  });

  it('abort restores the champion, in the rollout as before it', async () => {
    const rolling = await stage.start(watching);
    await approve(rolling);
    await view(rolling, ({ step }) => step?.kind === 'shadow');
    await rolling.executeUpdate(abortUpdate, { args: [operator] });
    assert.equal((await result(rolling)).outcome, 'aborted');
    assert.ok(stage.calls.includes('restoreChampion'));

    const waiting = await stage.start();
    await inReview(waiting);
    await waiting.executeUpdate(abortUpdate, { args: [operator] });
    assert.deepEqual(await result(waiting), {
      outcome: 'aborted',
      reason: 'aborted by ops: because',
      candidate: digest,
    });
  });

  it('lines of the timeline that cannot be kept do not fail the release', async () => {
    const handle = await stage.start({
      recordPhase: ({ key }: { key: string }) => {
        if (/step|enter\/\d/.test(key)) throw refusal('INTERNAL');
      },
    });
    await approve(handle);
    assert.equal((await result(handle)).outcome, 'promoted');
  });

  it('a promotion that is written stands although a gateway is late to acknowledge it', async () => {
    let promoted = false;
    const handle = await stage.start({
      changeRoute: ({ change }: { change: { kind: string } }) => {
        promoted ||= change.kind === 'promote';
        return { generation: 9 };
      },
      awaitGateways: () => {
        if (promoted) throw refusal('GATEWAY_NOT_ACKNOWLEDGED');
        return { gateways: 1 };
      },
    });
    await approve(handle);
    assert.equal((await result(handle)).outcome, 'promoted');
    assert.ok(!stage.calls.includes('restoreChampion'));
  });

  it('a champion that has changed since the comparison refuses the rollout before any traffic', async () => {
    const handle = await stage.start({
      beginRollout: () => ({ epoch: 1, generation: 5, champion: 'sha256:newer' }),
    });
    await approve(handle);
    await assert.rejects(handle.result(), (error: unknown) => error instanceof WorkflowFailedError);
    assert.ok(!stage.calls.some((call) => call.startsWith('changeRoute')));
    assert.match(JSON.stringify((await handle.query(getReleaseQuery)).reason), /release again/);
  });

  it('a gateway that refuses the candidate fails the release, with the champion restored', async () => {
    const handle = await stage.start({
      awaitGateways: ({ version }: { version?: string }) => {
        if (version !== undefined) throw refusal('CANDIDATE_REFUSED');
        return { gateways: 1 };
      },
    });
    await approve(handle);
    await assert.rejects(handle.result());
    assert.ok(stage.calls.includes('restoreChampion'));
  });
});

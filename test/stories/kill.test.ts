/**
 * Given live traffic and a release on its way, when a part dies at the worst moment, then the champion serves (the old
 * one or the promoted one, never something in between), no prediction fails because of it, and the audit chain is whole.
 */
import { strict as assert } from 'node:assert';
import { WorkflowFailedError } from '@temporalio/client';
import { after, before, beforeEach, describe, it } from 'mocha';
import { LEASE_SECONDS, openStage } from './kill-stage.ts';
import type { Stage } from './kill-stage.ts';
import { listenOnce } from './listen-once.ts';

describe('when parts die in the middle of a release', function () {
  this.timeout(240_000);
  let stage: Stage;
  let champion: string;

  before(async function () {
    this.timeout(900_000);
    stage = await openStage();
  });

  after(() => stage.close());

  beforeEach(async () => {
    champion = (await stage.route()).champion;
    stage.replay.takeWitness();
  });

  async function endsPromoted(id: string, how: { readonly gatewayDied?: boolean } = {}): Promise<void> {
    assert.equal(await stage.outcome(id), 'promoted');
    const { release } = await stage.engineer.release(id);
    await stage.allIsWell({ champion: release.candidate!, ...how });
  }

  async function endsWithTheOldChampion(id: string, outcomes: readonly string[]): Promise<void> {
    const outcome = await stage.outcome(id);
    assert.ok(outcomes.includes(outcome), `${outcome}, not ${outcomes.join(' or ')}`);
    await stage.allIsWell({ champion });
  }

  it('the train worker is killed during training: the next one resumes the job', async () => {
    const id = await stage.submit({ trees: 3000, checkpoint_every: 50 });
    const handle = stage.temporal.workflow.getHandle(`release/${id}/train`);
    const checkpoints = await stage.until('training has checkpoints', () => {
      const found = stage.checkpoints();
      return Promise.resolve(found.length > 0 ? found : null);
    });
    stage.stack.kill('worker-train');
    await stage.approve(id);
    const { events } = await handle.fetchHistory();
    const started = events
      ?.filter((event) => event.activityTaskStartedEventAttributes)
      .at(-1)?.activityTaskStartedEventAttributes;
    assert.ok(
      (started?.attempt ?? 0) >= 2,
      `killed after ${checkpoints.join(', ')}, finished by attempt ${started?.attempt}`,
    );
    await stage.engineer.command(id, 'abort', 'only its training was wanted');
    await endsWithTheOldChampion(id, ['aborted']);
  });

  it('the control worker is killed during the shadow', async () => {
    const id = await stage.release();
    await stage.inPhase(id, 'shadow');
    stage.stack.kill('worker-control');
    await endsPromoted(id);
  });

  it('the control worker is killed during a canary step', async () => {
    const id = await stage.release();
    await stage.inPhase(id, 'canary');
    stage.stack.kill('worker-control');
    await endsPromoted(id);
  });

  it('the control worker is killed between the commit of a route write and its report', async () => {
    const id = await stage.submit();
    const notified = listenOnce(stage.stack.info.databaseUrl, 'slipway_routes');
    await stage.approve(id);
    await notified;
    stage.stack.kill('worker-control');
    await endsPromoted(id);
  });

  it('the release is cancelled during the canary', async () => {
    const id = await stage.release();
    await stage.inPhase(id, 'canary');
    await stage.releaseHandle(id).cancel();
    await endsWithTheOldChampion(id, ['aborted']);
  });

  it('the release is terminated during the canary: its children give the route back', async () => {
    const id = await stage.release();
    await stage.inPhase(id, 'canary');
    await stage.releaseHandle(id).terminate('on purpose');
    await endsWithTheOldChampion(id, ['aborted']);
  });

  it('the rollout is terminated during the canary: the guard gives the route back', async () => {
    const id = await stage.release();
    await stage.inPhase(id, 'canary');
    await stage.rolloutHandle().terminate('on purpose');
    await stage.until(
      'the guard restores',
      async () => ((await stage.route()).candidate === null ? true : null),
      5000,
    );
    await endsWithTheOldChampion(id, ['failed']);
  });

  it('the rollout fails during the canary', async () => {
    const id = await stage.release();
    await stage.inPhase(id, 'canary');
    const { activityId } = await stage.until('the step is observed', async () => {
      const { raw } = await stage.rolloutHandle().describe();
      return raw.pendingActivities?.find(({ activityType }) => activityType?.name === 'observeStep') ?? null;
    });
    await stage.temporal.workflowService.respondActivityTaskFailedById({
      namespace: stage.stack.info.namespace,
      workflowId: `rollout/${stage.model}`,
      activityId: activityId!,
      failure: { message: 'on purpose', applicationFailureInfo: { type: 'INTERNAL', nonRetryable: true } },
    });
    await endsWithTheOldChampion(id, ['failed']);
  });

  it('the rollout is reset during the canary, to its beginning', async () => {
    const id = await stage.release();
    await stage.inPhase(id, 'canary');
    await resetToStart(stage, `rollout/${stage.model}`);
    const outcome = await stage.outcome(id);
    const { release } = await stage.engineer.release(id);
    await stage.allIsWell({ champion: outcome === 'promoted' ? release.candidate! : champion });
  });

  it('the release is reset during the canary, to before its rollout', async () => {
    const id = await stage.release();
    await stage.inPhase(id, 'canary');
    await resetToStart(stage, `release/${id}`);
    // The new run waits for its approval again; the traffic of the old one is given back meanwhile.
    await stage.until(
      'the old rollout has given the route back',
      async () => ((await stage.route()).candidate === null ? true : null),
      60_000,
    );
    await stage.allIsWell({ champion });
    await stage.releaseHandle(id).cancel();
    await stage
      .releaseHandle(id)
      .result()
      .catch((error: unknown) => assert.ok(error instanceof WorkflowFailedError));
    await stage.allIsWell({ champion });
  });

  it('Temporal stops during the canary: the lease returns all traffic to the champion, and predictions go on', async () => {
    const id = await stage.release();
    await stage.inPhase(id, 'canary');
    const { candidate } = (await stage.engineer.release(id)).release;
    await stage.stack.halt('temporal');
    await new Promise((resolve) => setTimeout(resolve, (LEASE_SECONDS + 1) * 1000));
    stage.replay.takeWitness();
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const witness = stage.replay.takeWitness();
    assert.equal(witness.perVersion[candidate!] ?? 0, 0, 'the candidate gets nothing after its lease');
    assert.ok((witness.perVersion[champion] ?? 0) > 50, 'the champion gets everything');
    assert.equal(witness.bad, 0);
    await stage.stack.resume('temporal');
    await endsWithTheOldChampion(id, ['rolled_back']);
  });

  it('PostgreSQL is restarted during the canary', async () => {
    const id = await stage.release();
    await stage.inPhase(id, 'canary');
    await stage.stack.restart('postgres');
    const outcome = await stage.outcome(id);
    const { release } = await stage.engineer.release(id);
    await stage.allIsWell({ champion: outcome === 'promoted' ? release.candidate! : champion });
  });

  it('a gateway is killed during the canary: the other one answers, and the step ends on the evidence', async () => {
    const id = await stage.release();
    await stage.inPhase(id, 'canary');
    stage.stack.kill('gateway');
    await endsPromoted(id, { gatewayDied: true });
  });
});

async function resetToStart({ temporal, stack }: Stage, workflowId: string): Promise<void> {
  const { events } = await temporal.workflow.getHandle(workflowId).fetchHistory();
  const first = events?.find((event) => event.workflowTaskCompletedEventAttributes);
  const { runId } = await temporal.workflow.getHandle(workflowId).describe();
  await temporal.workflowService.resetWorkflowExecution({
    namespace: stack.info.namespace,
    workflowExecution: { workflowId, runId },
    workflowTaskFinishEventId: first!.eventId!,
    requestId: `${workflowId}-${runId}`,
    reason: 'on purpose',
  });
}

import { strict as assert } from 'node:assert';
import { WorkflowFailedError, WorkflowUpdateFailedError } from '@temporalio/client';
import { after, before, describe, it } from 'mocha';
import { createTemporalExperiments } from '../../api/temporal-experiments.ts';
import {
  awaitExperimentUpdate,
  experimentWorkflowId,
  getExperimentQuery,
  stopExperimentUpdate,
  TASK_QUEUES,
} from '../../workflows/messages.ts';
import type { ExperimentInput, ExperimentResult } from '../../workflows/messages.ts';
import { withCode } from '../db/registry-fixture.ts';
import { openWorkflowStage, refusal, untilCancelled } from './workflow-stage.ts';
import type { WorkflowStage } from './workflow-stage.ts';

const operator = { actor: 'ops', reason: 'seen enough' };
let number = 0;

describe('runExperiment', function () {
  this.timeout(60_000);
  let stage: WorkflowStage;

  before(async () => {
    stage = await openWorkflowStage();
  });
  after(() => stage.close());

  function start(script: Parameters<WorkflowStage['play']>[0] = {}) {
    stage.play(script);
    const endpoint = `x${process.pid}-${++number}`;
    const input: ExperimentInput = { endpoint, name: 'prices', actor: 'ann' };
    return stage.client.workflow.start<(given: ExperimentInput) => Promise<ExperimentResult>>(
      'runExperiment',
      {
        workflowId: experimentWorkflowId(endpoint, 'prices'),
        taskQueue: TASK_QUEUES.control,
        args: [input],
      },
    );
  }

  it('loads every arm everywhere before any has its share, and gives everything back at its end', async () => {
    const { outcome, winner } = await (await start()).result();
    assert.deepEqual([outcome, winner], ['winner', 'b']);
    assert.deepEqual(stage.calls, [
      'prepareExperiment',
      'beginRollout',
      'changeRoute experiment',
      'awaitGateways',
      'awaitGateways',
      'openExperiment',
      'observeExperiment',
      'restoreFromExperiment',
      'awaitGateways',
      'endExperiment',
    ]);
  });

  it('a stop answers when the champion has everything back; a second one is refused', async () => {
    const ends: { outcome: string; reason: string; actor: string }[] = [];
    const handle = await start({
      observeExperiment: untilCancelled,
      endExperiment: (end: (typeof ends)[0]) => void ends.push(end),
    });
    const begun = await handle.executeUpdate(awaitExperimentUpdate);
    assert.deepEqual([begun.open, begun.end], [true, null]);
    const { end } = await handle.executeUpdate(stopExperimentUpdate, { args: [operator] });
    assert.equal(end?.outcome, 'stopped');
    assert.equal((await handle.result()).reason, 'ops: seen enough');
    assert.ok(stage.calls.includes('restoreFromExperiment'));
    assert.deepEqual([ends[0]?.outcome, ends[0]?.actor], ['stopped', 'ops']);
    assert.equal((await handle.query(getExperimentQuery)).end?.outcome, 'stopped');
  });

  it('what is in the way is said to whoever starts it, and nothing is touched', async () => {
    stage.play({
      prepareExperiment: () => {
        throw refusal('ROLLOUT_IN_PROGRESS');
      },
    });
    const runs = createTemporalExperiments(stage.client);
    const input = { endpoint: `x${process.pid}-${++number}`, name: 'prices', actor: 'ann' };
    await assert.rejects(runs.start(input), withCode('ROLLOUT_IN_PROGRESS'));
    assert.ok(!stage.calls.some((call) => /changeRoute|beginRollout|restore/.test(call)));
    await assert.rejects(runs.stop(input, operator), withCode('WRONG_PHASE'));
  });

  it('the same experiment twice at once is refused', async () => {
    stage.play({ observeExperiment: untilCancelled });
    const runs = createTemporalExperiments(stage.client);
    const input = { endpoint: `x${process.pid}-${++number}`, name: 'prices', actor: 'ann' };
    assert.equal((await runs.start(input)).open, true);
    await assert.rejects(runs.start(input), withCode('EXPERIMENT_RUNNING'));
    assert.equal((await runs.stop(input, operator)).end?.outcome, 'stopped');
  });

  it('an arm that a gateway refuses fails it, and the champion has everything back', async () => {
    const handle = await start({
      awaitGateways: ({ version }: { version: string }) => {
        if (version === 'sha256:new') throw refusal('CANDIDATE_REFUSED');
        return { gateways: 1 };
      },
    });
    await assert.rejects(handle.result(), WorkflowFailedError);
    assert.deepEqual(stage.calls.slice(-3), ['restoreFromExperiment', 'awaitGateways', 'endExperiment']);
    assert.ok(!stage.calls.includes('openExperiment'));
  });

  it('a cancelled workflow gives everything back before it ends', async () => {
    const handle = await start({ observeExperiment: untilCancelled });
    await handle.executeUpdate(awaitExperimentUpdate);
    await handle.cancel();
    await assert.rejects(handle.result(), WorkflowFailedError);
    assert.deepEqual(stage.calls.slice(-3), ['restoreFromExperiment', 'awaitGateways', 'endExperiment']);
  });

  it('an interrupted one keeps its result so far', async () => {
    const handle = await start({
      observeExperiment: () => ({ outcome: 'interrupted', reason: 'a rollout', winner: null }),
    });
    assert.equal((await handle.result()).outcome, 'interrupted');
    assert.ok(stage.calls.includes('endExperiment'));
  });

  it('an update refused by the validator leaves no trace', async () => {
    const handle = await start({ observeExperiment: untilCancelled });
    await handle.executeUpdate(awaitExperimentUpdate);
    const first = handle.executeUpdate(stopExperimentUpdate, { args: [operator] });
    await first;
    await assert.rejects(
      handle.executeUpdate(stopExperimentUpdate, { args: [operator] }),
      (error: unknown) => error instanceof WorkflowUpdateFailedError || error instanceof Error,
    );
    await handle.result();
  });
});

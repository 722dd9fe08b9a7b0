import { strict as assert } from 'node:assert';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from '@temporalio/worker';
import { after, before, describe, it } from 'mocha';
import { projectRoot } from '../../platform/root.ts';
import { startTelemetry } from '../../platform/telemetry/index.ts';
import type { Telemetry } from '../../platform/telemetry/index.ts';
import { temporalTracing } from '../../platform/telemetry/temporal.ts';
import { quietRuntime } from '../support/runtime.ts';
import { workflowBundle } from '../../workers/workflow-bundle.ts';

const folder = join(projectRoot(), 'test', 'replay', 'histories');
const names = readdirSync(folder).filter((name) => name.endsWith('.json'));
const read = (name: string): string => readFileSync(join(folder, name), 'utf8');

describe('recorded histories', () => {
  let telemetry: Telemetry;
  let replay: (json: string) => Promise<void>;

  before(async function () {
    this.timeout(120_000);
    quietRuntime();
    telemetry = startTelemetry({ service: 'replay', otlpEndpoint: undefined, sampleRatio: 1 });
    const plugins = [temporalTracing(telemetry)];
    const bundle = await workflowBundle(plugins);
    replay = (json) => {
      const { workflowId, history } = JSON.parse(json) as { workflowId: string; history: unknown };
      return Worker.runReplayHistory({ workflowBundle: bundle, plugins }, history, workflowId);
    };
  });

  after(() => telemetry.shutdown());

  it('exist for every workflow, promoted and rolled back', () => {
    for (const part of [
      'releaseModel-promoted',
      'releaseModel-rolled_back',
      'rolloutVersion-promoted',
      'rolloutVersion-rolled_back',
      'trainModel',
      'routeGuard',
      'rollbackModel',
      'runExperiment-winner',
      'runExperiment-stopped',
    ]) {
      assert.ok(
        names.some((name) => name.startsWith(part)),
        `none of ${part}`,
      );
    }
  });

  for (const name of names) {
    it(`${name} replays with the present code`, () => replay(read(name)));
  }

  it('a workflow that would do something else than it did is found', async () => {
    const name = names.find((found) => found.startsWith('rolloutVersion-promoted'))!;
    const changed = read(name).replaceAll('"beginRollout"', '"endRollout"');
    assert.notEqual(changed, read(name));
    await assert.rejects(replay(changed), /determin/i);
  });
});

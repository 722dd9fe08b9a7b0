/** The real workflows on a real Temporal server, with activities that a test scripts: for what is hard to provoke in life. */
import { ApplicationFailure, Context } from '@temporalio/activity';
import { Client, Connection } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { readModelDocument } from '../../cli/manifest-files.ts';
import { parseManifest } from '../../domain/manifest/parse-manifest.ts';
import type { ManifestDocument } from '../../domain/manifest/manifest-document.ts';
import type { StepVerdict } from '../../domain/rollout/verdict.ts';
import { projectRoot } from '../../platform/root.ts';
import { startTelemetry } from '../../platform/telemetry/index.ts';
import { temporalTracing } from '../../platform/telemetry/temporal.ts';
import { releaseWorkflowId, TASK_QUEUES } from '../../workflows/messages.ts';
import type { ReleaseInput } from '../../workflows/messages.ts';
import type { ReleaseResult } from '../../workflows/release-model.ts';
import { workflowBundle } from '../../workers/workflow-bundle.ts';
import { quietRuntime } from '../support/runtime.ts';
import { sharedTemporal } from '../support/stack.ts';

type Script = Record<string, (...args: never[]) => unknown>;

export interface WorkflowStage {
  readonly client: Client;
  /** Names of the activities that ran, with the change's kind for route changes, in order. */
  readonly calls: string[];
  start(script?: Script, input?: Partial<ReleaseInput>): Promise<ReturnType<Client['workflow']['getHandle']>>;
  /** For a workflow that a test starts itself. */
  play(script: Script): void;
  close(): Promise<void>;
}

export const PROVEN: StepVerdict = { verdict: 'PROVEN_SAFE', reason: 'scripted', readings: [] };
export const refusal = (type: string) => ApplicationFailure.nonRetryable(`scripted ${type}`, type);

/** An observation without a verdict: ends when it is cancelled, or with its worker. */
export async function untilCancelled(): Promise<never> {
  const context = Context.current();
  const timer = setInterval(() => context.heartbeat(), 200);
  try {
    return await context.cancelled;
  } finally {
    clearInterval(timer);
  }
}

export async function openWorkflowStage(): Promise<WorkflowStage> {
  quietRuntime();
  const { address, namespace } = await sharedTemporal();
  const telemetry = startTelemetry({ service: 'test', otlpEndpoint: undefined, sampleRatio: 1 });
  const plugins = [temporalTracing(telemetry)];
  const document = await readModelDocument(`${projectRoot()}/examples/elec2/model.yaml`);
  const manifest = parseManifest(document.manifest as ManifestDocument);
  const calls: string[] = [];
  let script: Script = {};
  let generation = 1;
  const usual: Script = {
    openRelease: () => ({
      manifest,
      manifestDigest: 'sha256:m',
      policyDigest: 'sha256:p',
      champion: 'sha256:old',
    }),
    recordPhase: () => undefined,
    recordDecision: () => ({ expiresAtMs: Date.now() + 60_000 }),
    snapshotDataset: () => ({
      digest: 'sha256:d',
      source: 'sha256:s',
      rows: 1,
      firstEventMs: 0,
      lastEventMs: 0,
    }),
    runTraining: () => ({ job: { digest: 'sha256:j' }, files: [], cached: false }),
    validateCandidate: () => ({ evidenceDigest: 'sha256:e', passed: true, gates: [], summary: 'scripted' }),
    registerVersion: () => ({ digest: 'sha256:new' }),
    claimRollout: () => undefined,
    abortRollout: () => undefined,
    confirmOwner: () => undefined,
    beginRollout: () => ({ epoch: 1, generation, champion: 'sha256:old' }),
    changeRoute: () => ({ generation: ++generation }),
    restoreChampion: () => ({ generation: ++generation }),
    awaitGateways: () => ({ gateways: 1 }),
    observeStep: () => PROVEN,
    prepareExperiment: () => ({
      plan: { policy: { kind: 'ab' }, leaseMs: 60_000, hypothesis: null },
      arms: [
        { name: 'a', version: 'sha256:old' },
        { name: 'b', version: 'sha256:new' },
      ],
      generation,
    }),
    openExperiment: () => ({ startedAtMs: Date.now() }),
    observeExperiment: () => ({ outcome: 'winner', reason: 'scripted', winner: 'b' }),
    restoreFromExperiment: () => ({ generation: ++generation }),
    endExperiment: () => undefined,
  };
  const activities = Object.fromEntries(
    Object.keys(usual).map((name) => [
      name,
      async (...args: { change?: { kind: string } }[]): Promise<unknown> => {
        calls.push(args[0]?.change === undefined ? name : `${name} ${args[0].change.kind}`);
        const run = (script[name] ?? usual[name]) as (...given: unknown[]) => unknown;
        return run(...args);
      },
    ]),
  );
  const native = await NativeConnection.connect({ address });
  // A cancellation reaches an activity with its heartbeats.
  const common = {
    connection: native,
    namespace,
    activities,
    plugins,
    maxHeartbeatThrottleInterval: '200ms',
  };
  const workers = [
    await Worker.create({
      ...common,
      taskQueue: TASK_QUEUES.control,
      workflowBundle: await workflowBundle(plugins),
    }),
    await Worker.create({ ...common, taskQueue: TASK_QUEUES.train }),
  ];
  const running = workers.map((worker) => worker.run());
  const connection = await Connection.connect({ address });
  const client = new Client({ connection, namespace });
  let number = 0;
  return {
    client,
    calls,
    async start(next = {}, input = {}) {
      script = next;
      calls.length = 0;
      const model = `m${process.pid}-${++number}`;
      const releaseId = `${model}/1`;
      const release: ReleaseInput = { releaseId, model, submittedBy: 'ann', skipShadow: false, ...input };
      return client.workflow.start<(given: ReleaseInput) => Promise<ReleaseResult>>('releaseModel', {
        workflowId: releaseWorkflowId(releaseId),
        taskQueue: TASK_QUEUES.control,
        args: [release],
      });
    },
    play(next) {
      script = next;
      calls.length = 0;
    },
    async close() {
      for (const worker of workers) worker.shutdown();
      await Promise.all(running);
      await connection.close();
      await native.close();
      await telemetry.shutdown();
    },
  };
}

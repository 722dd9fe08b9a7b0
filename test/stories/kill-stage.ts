/**
 * A stack to break: two gateways behind a client that fails over like a load balancer, traffic that never stops, and
 * short leases. After each break the stage checks what must hold whatever happened.
 */
import { strict as assert } from 'node:assert';
import { readdirSync, rmSync } from 'node:fs';
import { Client, Connection } from '@temporalio/client';
import { createApiClient } from '../../api/client.ts';
import type { ApiClient } from '../../api/client.ts';
import type { ReleaseDetail } from '../../api/schemas/release.ts';
import { Replay } from '../../cli/demo/replay.ts';
import { replayRows } from '../../cli/demo/rows.ts';
import { readModelDocument } from '../../cli/manifest-files.ts';
import { readTokens } from '../../cli/tokens.ts';
import { migrate } from '../../db/migrate.ts';
import { STACK_PROCESSES, startStack } from '../../deploy/local/index.ts';
import type { RunningStack } from '../../deploy/local/index.ts';
import type { ReleaseOutcome, ReleaseParameters } from '../../domain/release/release.ts';
import type { Route } from '../../domain/routing/route.ts';
import { externalServices, stackPaths } from '../../platform/config.ts';
import { homeLayout } from '../../platform/home.ts';
import { projectRoot } from '../../platform/root.ts';
import { releaseWorkflowId, rolloutWorkflowId } from '../../workflows/messages.ts';
import { printProgress, temporaryHome } from '../support/stack.ts';

export const LEASE_SECONDS = 6;
const STEP = { minDuration: '4s', maxDuration: '90s', minSamples: 50 };

/** Quick steps at an even split: what is tested here is what happens when parts die, not the statistics. */
const ROLLOUT = {
  shadow: { mirror: 100, scoreTolerance: 0.9, ...STEP },
  steps: [{ weight: 50, ...STEP }],
  onInconclusive: 'rollback',
  lease: `${LEASE_SECONDS}s`,
  guardFor: '1h',
};
const GUARDRAILS = ['errors', 'slow', 'invalid', 'diverged'].map((name) => ({
  name,
  tolerance: 0.5,
  margin: 2,
  negligibleRate: 0.2,
}));

export interface Stage {
  readonly stack: RunningStack;
  readonly engineer: ApiClient;
  readonly replay: Replay;
  readonly temporal: Client;
  readonly model: string;
  /** Starts a release of a model that nobody trained before, and approves it; resolves while it rolls out. */
  release(parameters?: ReleaseParameters): Promise<string>;
  submit(parameters?: ReleaseParameters): Promise<string>;
  approve(id: string): Promise<string>;
  route(): Promise<Route>;
  until<T>(what: string, ask: () => Promise<T | null>, timeoutMs?: number): Promise<T>;
  /** Waits until the release is in the phase, with traffic on the candidate where the phase means that. */
  inPhase(id: string, phase: 'train' | 'shadow' | 'canary'): Promise<void>;
  outcome(id: string): Promise<ReleaseOutcome>;
  /** Nothing half-done, no prediction failed, the audit chain is whole. @returns the champion */
  allIsWell(expected: { readonly champion: string; readonly gatewayDied?: boolean }): Promise<void>;
  /** Checkpoint files of training jobs that are under way. */
  checkpoints(): readonly string[];
  releaseHandle(id: string): ReturnType<Client['workflow']['getHandle']>;
  rolloutHandle(): ReturnType<Client['workflow']['getHandle']>;
  close(): Promise<void>;
}

export async function openStage(): Promise<Stage> {
  const home = temporaryHome();
  const { cacheFolder } = stackPaths();
  const external = { ...externalServices(), databaseUrl: undefined, temporalAddress: undefined };
  const second = {
    ...STACK_PROCESSES.find(({ name }) => name === 'gateway')!,
    name: 'gateway-2',
    preferredPort: 8302,
  };
  const processes = [...STACK_PROCESSES, second];
  const stack = await startStack({
    home,
    cacheFolder,
    external,
    migrate,
    onProgress: printProgress,
    durable: false,
    processes,
  });
  const tokens = await readTokens(stack.info.tokenFile);
  const clientOf = (actor: string): ApiClient =>
    createApiClient({ url: stack.info.api, token: tokens(actor) });
  const engineer = clientOf('engineer');
  const approvers = [clientOf('approver'), clientOf('second-approver')];
  const document = await readModelDocument(`${projectRoot()}/examples/elec2/model.yaml`);
  const manifest = structuredClone(document.manifest) as { spec: Record<string, unknown> };
  manifest.spec['rollout'] = ROLLOUT;
  manifest.spec['guardrails'] = GUARDRAILS;
  manifest.spec['slo'] = { latencyMs: 1000 };
  await engineer.apply(document.name, { manifest, sources: document.sources });

  const connection = await Connection.connect({ address: stack.info.temporalAddress });
  const temporal = new Client({ connection, namespace: stack.info.namespace });
  const rows = await replayRows(document.data, '1997-05-05T00:00:00Z');
  const gateways = [
    stack.info.gateway,
    `http://127.0.0.1:${await secondGatewayPort(engineer, stack.info.gateway)}`,
  ];
  const replay = new Replay({
    gateways,
    endpoint: document.name,
    rows,
    requestsPerSecond: 80,
    labelDelayMs: 500,
    sendLabels: (labels) => sendWhenPossible(engineer, labels),
  });
  let trees = 10;

  const until: Stage['until'] = async (what, ask, timeoutMs = 90_000) => {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const answer = await ask();
      if (answer !== null) return answer;
      if (Date.now() > deadline) {
        throw new Error(`did not happen within ${timeoutMs / 1000} s: ${what}\n${await situation(temporal)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  const detailOf = (id: string): Promise<ReleaseDetail> => engineer.release(id);
  const stage: Stage = {
    stack,
    engineer,
    replay,
    temporal,
    model: document.name,
    until,
    async submit(parameters = {}) {
      // One tree more each time: another model version, as good as the last.
      const { release } = await engineer.createRelease({
        model: document.name,
        parameters: { trees: ++trees, ...parameters },
      });
      return release.id;
    },
    async approve(id) {
      const digest = await until(`${id} waits for its approval`, async () => {
        const { live, release } = await detailOf(id);
        if (release.outcome !== null)
          throw new Error(`${id} ended before its review: ${release.outcome}: ${release.reason}`);
        return live?.waitingFor === 'approval' ? live.candidate : null;
      });
      for (const approver of approvers) {
        const { approved, needed } = await approver.decide(id, 'approve', { digest });
        if (approved === needed) break;
      }
      return digest;
    },
    async release(parameters) {
      const id = await stage.submit(parameters);
      await stage.approve(id);
      return id;
    },
    async route() {
      const { route } = await engineer.model(document.name);
      assert.ok(route !== null);
      return route;
    },
    async inPhase(id, phase) {
      await until(`${id} is in ${phase}`, async () => {
        const { release, live } = await detailOf(id);
        if (release.outcome !== null)
          throw new Error(`${id} ended before ${phase}: ${release.outcome}: ${release.reason}`);
        return live?.phase === phase && (phase === 'train' || live.step?.kind === phase) ? true : null;
      });
    },
    outcome: (id) => until(`${id} ends`, async () => (await detailOf(id)).release.outcome, 150_000),
    async allIsWell({ champion, gatewayDied = false }) {
      const route = await until('the route has no candidate', async () => {
        const now = await stage.route();
        return now.candidate === null ? now : null;
      });
      assert.equal(route.champion, champion);
      const witness = replay.takeWitness();
      assert.ok(witness.answered > 0, 'traffic went on');
      assert.equal(
        witness.bad,
        0,
        `${witness.bad} of ${witness.answered} predictions failed; the last with ${witness.lastBad}`,
      );
      if (!gatewayDied)
        assert.equal(witness.retried, 0, `${witness.retried} requests needed a second gateway`);
      const audit = await engineer.verifyAudit();
      assert.deepEqual([audit.intact, audit.firstBad], [true, null]);
    },
    checkpoints: () =>
      readdirSync(homeLayout(home).training, { recursive: true, encoding: 'utf8' }).filter((file) =>
        /checkpoints\/.+/.test(file),
      ),
    releaseHandle: (id) => temporal.workflow.getHandle(releaseWorkflowId(id)),
    rolloutHandle: () => temporal.workflow.getHandle(rolloutWorkflowId(document.name)),
    async close() {
      await replay.stop();
      await connection.close();
      await stack.stop();
      rmSync(home, { recursive: true, force: true });
    },
  };
  const first = await stage.release();
  assert.equal(await stage.outcome(first), 'promoted');
  replay.start();
  return stage;
}

async function secondGatewayPort(engineer: ApiClient, first: string): Promise<string> {
  const { gateways } = await engineer.model('elec2');
  const other = gateways.find(({ url }) => new URL(url).port !== new URL(first).port);
  assert.ok(other !== undefined, 'two gateways live');
  return new URL(other.url).port;
}

/** While a part of the stack is down on purpose, labels wait. */
async function sendWhenPossible(
  engineer: ApiClient,
  labels: Parameters<ApiClient['labels']>[0],
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await engineer.labels(labels);
      return;
    } catch (error) {
      if (attempt === 50) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

/** What runs and what it waits for: the first thing that one wants to know when something did not happen. */
async function situation(temporal: Client): Promise<string> {
  const lines: string[] = [];
  for await (const { workflowId, runId } of temporal.workflow.list({
    query: 'ExecutionStatus = "Running"',
  })) {
    const { raw } = await temporal.workflow.getHandle(workflowId, runId).describe();
    const pending = raw.pendingActivities?.map(
      ({ activityType, attempt, lastFailure }) =>
        `${activityType?.name} attempt ${attempt} ${lastFailure?.message ?? ''}`,
    );
    lines.push(
      `${workflowId}: ${pending?.join('; ') ?? ''}, ${raw.pendingChildren?.length ?? 0} children, workflow task ${JSON.stringify(raw.pendingWorkflowTask?.attempt ?? null)}`,
    );
  }
  return lines.join('\n');
}

/** A private stack for the story: its own Temporal, PostgreSQL and home, fresh each time. */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createApiClient } from '../../api/client.ts';
import { startStack } from '../../deploy/local/index.ts';
import type { OnProgress, RunningStack } from '../../deploy/local/index.ts';
import { stopSurvivors } from '../../deploy/local/process-record.ts';
import { removePostgresData } from '../../deploy/local/postgres-server.ts';
import { externalServices, stackPaths } from '../../platform/config.ts';
import { projectRoot } from '../../platform/root.ts';
import { migrate } from '../../db/migrate.ts';
import { readModelDocument } from '../manifest-files.ts';
import { readTokens } from '../tokens.ts';
import { Replay } from './replay.ts';
import { replayRows } from './rows.ts';
import type { StoryContext } from './story.ts';

/** Rows before it were trained on by the first release. */
const REPLAY_FROM = '1997-05-05T00:00:00Z';
const REQUESTS_PER_SECOND = 250;
const LABEL_DELAY_MS = 1000;

/** Removes what an earlier demo left, also one that was killed. */
export async function freshStack(home: string, onProgress: OnProgress): Promise<RunningStack> {
  if (existsSync(home)) {
    await stopSurvivors(home);
    removePostgresData(home);
    rmSync(home, { recursive: true, force: true });
  }
  const { cacheFolder } = stackPaths();
  // Private, so what the environment offers is not used: the story expects an empty registry.
  const external = { ...externalServices(), databaseUrl: undefined, temporalAddress: undefined };
  return startStack({ home, cacheFolder, external, migrate, onProgress, durable: false });
}

export async function storyContext(stack: RunningStack, say: (line: string) => void): Promise<StoryContext> {
  const { api, gateway, tokenFile } = stack.info;
  const tokens = await readTokens(tokenFile);
  const clientOf = (actor: string) => createApiClient({ url: api, token: tokens(actor) });
  const engineer = clientOf('engineer');
  const model = await readModelDocument(join(projectRoot(), 'examples', 'elec2', 'model.yaml'));
  const rows = await replayRows(model.data, REPLAY_FROM);
  const replay = new Replay({
    gateways: [gateway],
    endpoint: model.name,
    rows,
    requestsPerSecond: REQUESTS_PER_SECOND,
    labelDelayMs: LABEL_DELAY_MS,
    sendLabels: (labels) => engineer.labels(labels),
  });
  return {
    engineer,
    approvers: [clientOf('approver'), clientOf('second-approver')],
    model,
    gateway,
    replay,
    say,
    facts: { releases: [] },
  };
}

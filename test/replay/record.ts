/**
 * Records the histories of a real run: plays the demo's story on a private stack and keeps the history of every closed
 * workflow, one file for each type and end. Old histories stay: what was released once must replay for ever.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { freshStack, storyContext } from '../../cli/demo/demo-stack.ts';
import { CHAPTERS } from '../../cli/demo/story.ts';
import { findTemporal } from '../../deploy/local/find-temporal.ts';
import { stackPaths } from '../../platform/config.ts';
import { projectRoot } from '../../platform/root.ts';
import { printProgress, temporaryHome } from '../support/stack.ts';

const folder = join(projectRoot(), 'test', 'replay', 'histories');
const home = temporaryHome();
const temporal = await findTemporal({ cacheFolder: stackPaths().cacheFolder, onProgress: printProgress });
const stack = await freshStack(home, printProgress);
const story = await storyContext(stack, (line) => console.error(line));
try {
  for (const { play } of CHAPTERS) await play(story);
  await recordAll();
} finally {
  await story.replay.stop();
  await stack.stop();
  rmSync(home, { recursive: true, force: true });
}

async function recordAll(): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const connection = await Connection.connect({ address: stack.info.temporalAddress });
  const client = new Client({ connection, namespace: stack.info.namespace });
  const known = new Set(readdirSync(folder));
  const generation =
    known.size === 0
      ? 1
      : Math.max(...[...known].map((name) => Number(/-v(\d+)\.json$/.exec(name)?.[1] ?? 0))) + 1;
  for await (const { workflowId, runId, type, status } of client.workflow.list()) {
    if (status.name === 'RUNNING') continue;
    const handle = client.workflow.getHandle(workflowId, runId);
    const outcome = await outcomeOf(handle);
    const name = `${type}-${outcome}-v${generation}.json`;
    if (known.has(name)) continue;
    known.add(name);
    writeFileSync(join(folder, name), recorded(workflowId, runId));
    console.log(name);
  }
  await connection.close();
}

/** The id is a part of it: ids of children are made from it. */
function recorded(workflowId: string, runId: string): string {
  return `${JSON.stringify({ workflowId, history: JSON.parse(portable(show(workflowId, runId))) as unknown })}\n`;
}

/** In the JSON of the Temporal command line and UI. */
function show(workflowId: string, runId: string): string {
  const where = ['--address', stack.info.temporalAddress, '--namespace', stack.info.namespace];
  const args = [
    'workflow',
    'show',
    '--workflow-id',
    workflowId,
    '--run-id',
    runId,
    '--output',
    'json',
    ...where,
  ];
  return execFileSync(temporal.path, args, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
}

async function outcomeOf(handle: ReturnType<Client['workflow']['getHandle']>): Promise<string> {
  const result = (await handle.result()) as { outcome?: string } | string | null;
  if (typeof result === 'string') return result.replaceAll(/[^a-z]+/g, '-');
  return result?.outcome ?? 'completed';
}

/** Without the folders of the machine that it was recorded on; they decide nothing. */
function portable(history: string): string {
  const anonymous = (text: string): string =>
    text.replaceAll(projectRoot(), '/project').replaceAll(home, '/home');
  const data = /"data":\s*"([A-Za-z0-9+/=]+)"/g;
  return anonymous(history).replaceAll(data, (_, base64: string) => {
    const text = Buffer.from(base64, 'base64').toString();
    return `"data": "${Buffer.from(anonymous(text)).toString('base64')}"`;
  });
}

/**
 * The workflow bundle, built once per state of the sources and kept beside the compiled code: bundling takes seconds,
 * and every worker of a machine needs the same one.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DefaultLogger, bundleWorkflowCode } from '@temporalio/worker';
import type { WorkerOptions } from '@temporalio/worker';
import { projectRoot } from '../platform/root.ts';

type Plugins = NonNullable<WorkerOptions['plugins']>;

/** Everything that a workflow may import, and what decides how it is bundled. */
const SOURCES = ['dist/workflows', 'dist/domain', 'package-lock.json'];

export async function workflowBundle(plugins: Plugins): Promise<{ readonly codePath: string }> {
  const root = projectRoot();
  const codePath = join(root, 'dist', `workflow-bundle-${await digestOf(root, SOURCES)}.js`);
  if (!existsSync(codePath)) {
    const { code } = await bundleWorkflowCode({
      workflowsPath: join(root, 'dist', 'workflows', 'index.js'),
      plugins,
      logger: new DefaultLogger('WARN'),
    });
    // Two workers may build at once; both make the same file, and rename never shows half of one.
    const temporary = `${codePath}.${process.pid}`;
    await writeFile(temporary, code);
    await rename(temporary, codePath);
  }
  return { codePath };
}

async function digestOf(root: string, sources: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const source of sources) {
    for (const file of await filesOf(join(root, source)))
      hash.update(file.slice(root.length)).update(await readFile(file));
  }
  return hash.digest('hex').slice(0, 16);
}

async function filesOf(path: string): Promise<readonly string[]> {
  if (!path.endsWith('.json')) {
    const entries = await readdir(path, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile() && entry.name.endsWith('.js'))
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();
  }
  return [path];
}

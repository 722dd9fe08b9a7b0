/** Runs the compiled `slipway` as a user would. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';

import { inheritedEnvironment } from '../../platform/config.ts';
import { projectRoot } from '../../platform/root.ts';

export interface SlipwayRun {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export async function slipway(args: readonly string[], home: string): Promise<SlipwayRun> {
  const child = spawn(process.execPath, [join(projectRoot(), 'dist/cli/slipway.main.js'), ...args], {
    env: inheritedEnvironment({ SLIPWAY_HOME: home }),
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 30_000,
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return { code, stdout, stderr };
}

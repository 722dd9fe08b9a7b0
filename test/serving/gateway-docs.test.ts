import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { after, before, describe, it } from 'mocha';
import { projectRoot } from '../../platform/root.ts';
import { GatewayFixture } from './gateway-fixture.ts';
import type { Client } from './gateway-fixture.ts';

const run = promisify(execFile);

describe('docs/reference/gateway.md: its examples', () => {
  let fixture: GatewayFixture;
  let client: Client;
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'slipway-docs-'));
    fixture = await GatewayFixture.create();
    ({ client } = await fixture.startServing());
  });
  after(async () => {
    await fixture.remove();
    await rm(folder, { recursive: true, force: true });
  });

  it('are answered by a gateway as they stand there', async () => {
    const page = await readFile(join(projectRoot(), 'docs/reference/gateway.md'), 'utf8');
    const examples = [...page.matchAll(/^```sh\n([^]*?)^```/gm)]
      .map(([, script = '']) => script)
      .filter((script) => script.includes('curl '));
    assert.ok(examples.length >= 6, `only ${examples.length} examples were found`);
    for (const example of examples) {
      assert.ok(example.includes('localhost:8301/v2/'), example);
      const script = example
        .replaceAll('localhost:8301', new URL(client.url).host)
        .replaceAll('curl -sS', 'curl --fail-with-body -sS');
      const { stdout } = await run('bash', ['-euo', 'pipefail', '-c', script], { cwd: folder });
      if (example.includes('--output')) continue;
      const answer = JSON.parse(stdout) as object;
      assert.ok(!('error' in answer), stdout);
    }
    const binary = await readFile(join(folder, 'answer.bin'));
    assert.match(binary.toString('latin1'), /^\{"model_name":"toy".*"binary_data_size":4\}\}\]\}/s);
  });
});

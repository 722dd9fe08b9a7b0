import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'mocha';
import { Client } from 'pg';

import { createPortBook } from '../../deploy/local/ports.ts';
import { inheritedEnvironment } from '../../platform/config.ts';
import { projectRoot } from '../../platform/root.ts';
import { eventually } from '../serving/gateway-fixture.ts';
import { freshDatabase } from '../support/stack.ts';
import type { FreshDatabase } from '../support/stack.ts';

describe('slipway gateway', () => {
  let home: string;
  let database: FreshDatabase;
  let client: Client;

  before(async () => {
    home = await mkdtemp(join(tmpdir(), 'slipway-cli-gateway-'));
    database = await freshDatabase();
    client = new Client({ connectionString: database.databaseUrl });
    await client.connect();
  });
  after(async () => {
    await client.end();
    await database.drop();
    await rm(home, { recursive: true, force: true });
  });

  const gateways = async (): Promise<string[]> => {
    const { rows } = await client.query<{ gateway_id: string }>(
      'select gateway_id from gateways order by gateway_id',
    );
    return rows.map((row) => row.gateway_id);
  };
  const start = (args: readonly string[]) =>
    spawn(process.execPath, [join(projectRoot(), 'dist/cli/slipway.main.js'), 'gateway', ...args], {
      env: inheritedEnvironment({
        SLIPWAY_HOME: home,
        DATABASE_URL: database.databaseUrl,
        SLIPWAY_GATEWAY_ID: 'box',
        SLIPWAY_LOG_LEVEL: 'error',
      }),
      stdio: ['ignore', 'ignore', 'pipe'],
    });

  it('runs processes that are gateways of their own to the control plane, replaces them, and signs them all off', async () => {
    const port = await createPortBook().reserve();
    const cli = start(['--processes', '2', '--port', String(port)]);
    const ended = new Promise<number | null>((resolve) => {
      cli.once('exit', resolve);
    });
    try {
      await eventually(
        async () => (await gateways()).join() === 'box/0,box/1',
        'both have signed on',
        15_000,
      );
      await eventually(
        async () => (await fetch(`http://127.0.0.1:${port}/v2/health/ready`)).ok,
        'it is ready: there is nothing to serve',
      );
      cli.kill('SIGHUP');
      await eventually(
        async () => (await gateways()).includes('box/2'),
        'a replacement in a slot of its own',
        15_000,
      );
      await eventually(async () => (await gateways()).length === 2, 'the old ones have signed off', 20_000);
      assert.equal((await fetch(`http://127.0.0.1:${port}/v2/health/ready`)).status, 200);
    } finally {
      cli.kill('SIGTERM');
    }
    assert.equal(await ended, 0);
    assert.deepEqual(await gateways(), []);
  });

  it('says so when the port is taken', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => {
      taken.listen(0, '127.0.0.1', resolve);
    });
    const { port } = taken.address() as AddressInfo;
    const cli = start(['--port', String(port)]);
    let stderr = '';
    cli.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const code = await new Promise<number | null>((resolve) => {
      cli.once('close', resolve);
    });
    taken.close();
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`Port ${port} is taken by another program`));
  });
});

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { Connection } from '@temporalio/client';
import { after, afterEach, before, describe, it } from 'mocha';
import type { Context } from 'mocha';
import { Client } from 'pg';
import type { QueryResultRow } from 'pg';

import { removePostgresData } from '../../../deploy/local/postgres-server.ts';
import { commandLineOf, identify, isRunning, stopProcess } from '../../../deploy/local/process-identity.ts';
import type { ProcessIdentity } from '../../../deploy/local/process-identity.ts';
import { findRunningStack } from '../../../deploy/local/stack-file.ts';
import type { StackInfo } from '../../../deploy/local/stack-file.ts';
import { startStack } from '../../../deploy/local/stack.ts';
import type { RunningStack } from '../../../deploy/local/stack.ts';
import { inheritedEnvironment, stackPaths } from '../../../platform/config.ts';
import { projectRoot } from '../../../platform/root.ts';
import { SEARCH_ATTRIBUTES } from '../../../workflows/messages.ts';
import { temporaryHome } from '../../support/stack.ts';
import { FIXTURE_PROCESSES } from './fixtures/fixture-processes.ts';

const { cacheFolder } = stackPaths();
const NOTHING_OUTSIDE = {
  databaseUrl: undefined,
  temporalAddress: undefined,
  namespace: 'default',
  python: 'python3',
};

async function query<T extends QueryResultRow>(databaseUrl: string, text: string): Promise<T[]> {
  const client = new Client({ connectionString: databaseUrl });
  try {
    await client.connect();
    return (await client.query<T>(text)).rows;
  } finally {
    await client.end();
  }
}

const countStarts = async (databaseUrl: string): Promise<number> =>
  (await query<{ n: number }>(databaseUrl, 'select count(*)::int as n from starts'))[0]?.n ?? 0;

async function migrate(databaseUrl: string): Promise<void> {
  await query(databaseUrl, 'create table if not exists starts (at timestamptz not null default now())');
  await query(databaseUrl, 'insert into starts default values');
}

/** What a test that failed has left running. */
const open = new Set<RunningStack>();
async function stopOpen(this: Context): Promise<void> {
  if (this.currentTest?.state !== 'failed') return;
  for (const stack of open) await stack.stop();
  open.clear();
}

async function start(home: string, notes: string[] = []): Promise<RunningStack> {
  const stack = await startStack({
    home,
    cacheFolder,
    external: NOTHING_OUTSIDE,
    migrate,
    processes: FIXTURE_PROCESSES,
    onProgress: (event) => notes.push(event.detail ?? event.step),
  });
  open.add(stack);
  return stack;
}

function identities(info: StackInfo): ProcessIdentity[] {
  return Object.entries(info.pids)
    .filter(([name]) => name !== 'supervisor')
    .map(([name, pid]) => identify(pid) ?? assert.fail(`${name} does not run`));
}

async function assertAllGone(processes: readonly ProcessIdentity[], withinMs: number): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (processes.some(isRunning) && performance.now() < deadline) await delay(25);
  assert.deepEqual(
    processes.filter(isRunning).map(({ pid }) => commandLineOf(pid)),
    [],
  );
}

/** A stack in a process of its own. */
async function holdStack(home: string): Promise<ChildProcess> {
  const entry = join(projectRoot(), 'dist/test/deploy/local/fixtures/stack-holder.main.js');
  const env = inheritedEnvironment({
    SLIPWAY_HOME: home,
    DATABASE_URL: undefined,
    TEMPORAL_ADDRESS: undefined,
  });
  const holder = spawn(process.execPath, [entry], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const [chunk] = (await Promise.race([
    once(holder.stdout, 'data'),
    once(holder, 'exit').then(() => assert.fail('the holder ended')),
  ])) as [Buffer];
  assert.equal(chunk.toString().trim(), 'up');
  return holder;
}

async function killHolder(holder: ChildProcess): Promise<void> {
  holder.kill('SIGKILL');
  await once(holder, 'exit');
}

function reaperOf(supervisor: number): ProcessIdentity {
  const pids = readdirSync('/proc').map(Number).filter(Number.isInteger);
  const isReaper = (pid: number): boolean =>
    commandLineOf(pid)?.endsWith('reaper.main.js') === true &&
    readFileSync(`/proc/${pid}/status`, 'utf8').includes(`PPid:\t${supervisor}\n`);
  return pids.filter(isReaper).map(identify)[0] ?? assert.fail('no reaper');
}

describe('the local stack', () => {
  afterEach(stopOpen);
  let home: string;
  before(() => {
    home = temporaryHome();
  });
  after(() => {
    removePostgresData(home);
    rmSync(home, { recursive: true, force: true });
  });

  describe('when it runs', () => {
    let stack: RunningStack;
    before(async () => {
      stack = await start(home);
    });
    after(async () => {
      const processes = identities(stack.info);
      await stack.stop();
      await assertAllGone(processes, 0);
      assert.equal(findRunningStack(home), undefined);
      assert.equal(existsSync(join(home, 'stack.json')), false);
    });

    it('describes itself privately, and every address in the description answers', async () => {
      const info = findRunningStack(home) ?? assert.fail('not found');
      assert.equal(statSync(join(home, 'stack.json')).mode & 0o777, 0o600);
      assert.deepEqual(info, stack.info);
      for (const url of [info.api, info.gateway, info.temporalUi ?? assert.fail('no UI')]) {
        assert.equal((await fetch(url)).status, 200, url);
      }
      assert.equal(await countStarts(info.databaseUrl), 1);
    });

    it('keeps what PostgreSQL has acknowledged, and the password out of sight of other users', async () => {
      const [row] = await query<{ fsync: string }>(stack.info.databaseUrl, 'show fsync');
      assert.equal(row?.fsync, 'on');
      assert.equal(statSync(join(home, 'postgres.json')).mode & 0o777, 0o600);
      const wrong = new URL(stack.info.databaseUrl);
      wrong.password = 'guess';
      await assert.rejects(query(wrong.href, 'select 1'), /password authentication failed/);
    });

    it('has the search attributes that the workflows set', async () => {
      const connection = await Connection.connect({ address: stack.info.temporalAddress });
      try {
        const { customAttributes } = await connection.operatorService.listSearchAttributes({
          namespace: 'default',
        });
        for (const { name } of Object.values(SEARCH_ATTRIBUTES))
          assert.equal(customAttributes?.[name], 2, name);
      } finally {
        await connection.close();
      }
    });

    it('refuses a second start in the same home and says where the first one is', async () => {
      await assert.rejects(start(home), (error: { code: string; message: string }) => {
        assert.equal(error.code, 'STACK_ALREADY_RUNNING');
        assert.match(error.message, new RegExp(stack.info.api));
        return true;
      });
      assert.equal((await fetch(stack.info.api)).status, 200);
    });

    it('runs beside a stack of another home, which gets ports of its own', async () => {
      const other = temporaryHome();
      const second = await start(other);
      try {
        const ports = (info: StackInfo): string[] =>
          [info.api, info.gateway, info.temporalAddress, info.databaseUrl].map(
            (url) => url.split(':').at(-1) ?? '',
          );
        assert.equal(new Set([...ports(stack.info), ...ports(second.info)]).size, 8);
        assert.equal((await fetch(second.info.api)).status, 200);
        assert.equal((await fetch(stack.info.api)).status, 200);
        assert.equal(await countStarts(second.info.databaseUrl), 1);
      } finally {
        await second.stop();
        removePostgresData(other);
        rmSync(other, { recursive: true, force: true });
      }
      assert.equal((await fetch(stack.info.api)).status, 200);
    });

    it('starts a crashed process again on the same port and records its new pid', async () => {
      for (const name of ['gateway', 'postgres', 'temporal']) {
        const pid = stack.info.pids[name];
        stack.kill(name);
        await stack.whenReady(name, 15_000);
        assert.notEqual(stack.info.pids[name], pid);
        assert.deepEqual(findRunningStack(home)?.pids, stack.info.pids);
      }
      assert.equal((await fetch(stack.info.gateway)).status, 200);
      assert.equal(await countStarts(stack.info.databaseUrl), 1);
    });

    it('halts a process until it is resumed', async () => {
      await stack.halt('gateway');
      await assert.rejects(fetch(stack.info.gateway));
      await stack.resume('gateway');
      assert.equal((await fetch(stack.info.gateway)).status, 200);
    });
  });

  describe('when it was ended by SIGKILL', () => {
    let holder: ChildProcess | undefined;
    afterEach(async () => {
      if (holder?.exitCode === null && holder.signalCode === null) await killHolder(holder);
    });

    it('leaves nothing running, and the next start finds everything as it was', async () => {
      holder = await holdStack(home);
      const info = findRunningStack(home) ?? assert.fail('not found');
      const processes = [...identities(info), reaperOf(holder.pid ?? 0)];
      assert.equal(await countStarts(info.databaseUrl), 2, 'the data of the first stack is there');
      await killHolder(holder);
      assert.equal(findRunningStack(home), undefined, 'a stack whose supervisor is gone counts as none');
      await assertAllGone(processes, 10_000);

      const again = await start(home);
      assert.equal(await countStarts(again.info.databaseUrl), 3);
      await again.stop();
    });

    it('is cleaned up by the next start when its reaper was killed too', async () => {
      holder = await holdStack(home);
      const info = findRunningStack(home) ?? assert.fail('not found');
      const processes = identities(info);
      await stopProcess(reaperOf(holder.pid ?? 0), [{ signal: 'SIGKILL', waitMs: 5000 }]);
      await killHolder(holder);
      const servers = processes.filter(({ pid }) => [info.pids.temporal, info.pids.postgres].includes(pid));
      assert.equal(servers.filter(isRunning).length, 2, 'the servers know of no parent');

      const notes: string[] = [];
      const again = await start(home, notes);
      await assertAllGone(processes, 0);
      assert.ok(
        notes.some((note) => note.includes('stopped what a killed stack left running')),
        notes.join(),
      );
      assert.equal(await countStarts(again.info.databaseUrl), 5);
      await again.stop();
    });
  });

  describe('when it starts after trouble', () => {
    it('does not touch a process that only has the pid of one of its own', async () => {
      const stranger = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)'], { stdio: 'ignore' });
      const { pid } = identify(stranger.pid ?? 0) ?? assert.fail('the stranger does not run');
      const started = 'another boot:1';
      writeFileSync(
        join(home, 'processes.json'),
        JSON.stringify([{ name: 'temporal', pid, started, signal: 'SIGTERM' }]),
      );
      writeFileSync(join(home, 'stack.lock'), JSON.stringify({ pid, started }));
      const stale = {
        temporalAddress: 'x',
        namespace: 'x',
        api: 'x',
        gateway: 'x',
        databaseUrl: 'x',
        tokenFile: 'x',
      };
      writeFileSync(
        join(home, 'stack.json'),
        JSON.stringify({ ...stale, pids: {}, supervisor: { pid, started } }),
      );
      // PostgreSQL itself would take a process of its user with this pid for a server that runs.
      writeFileSync(join(home, 'postgres', 'data', 'postmaster.pid'), `${pid}\n${home}\n`);
      try {
        assert.equal(findRunningStack(home), undefined);
        const stack = await start(home);
        await stack.stop();
        assert.equal(stranger.exitCode ?? stranger.signalCode, null, 'the stranger still runs');
      } finally {
        stranger.kill('SIGKILL');
      }
    });

    it('leaves nothing running when a part does not start, and gives the home back', async () => {
      const broken = { ...(FIXTURE_PROCESSES[0] ?? assert.fail()), entry: 'dist/no-such-file.js' };
      const pids: ProcessIdentity[] = [];
      const attempt = startStack({
        home,
        cacheFolder,
        external: NOTHING_OUTSIDE,
        migrate: async () => {
          const record = JSON.parse(readFileSync(join(home, 'processes.json'), 'utf8')) as ProcessIdentity[];
          pids.push(...record);
        },
        processes: [broken, ...FIXTURE_PROCESSES.slice(1)],
        onProgress: () => undefined,
      });
      await assert.rejects(attempt, /gateway ended with code 1; the end of .*no-such-file/s);
      assert.equal(pids.length, 2);
      await assertAllGone(pids, 0);
      assert.equal(existsSync(join(home, 'stack.lock')), false);
    });
  });
});

describe('the local stack in a home that is private to its owner', () => {
  afterEach(stopOpen);
  it('keeps the data of PostgreSQL across starts although its user may not enter the home', async () => {
    const outer = temporaryHome();
    chmodSync(outer, 0o700);
    const home = join(outer, 'home');
    mkdirSync(home);
    const blocker = createServer();
    // Somebody else having it already serves as well.
    await new Promise((resolve) =>
      blocker.once('error', resolve).listen(8300, '127.0.0.1', () => resolve(undefined)),
    );
    try {
      const first = await start(home);
      assert.notEqual(new URL(first.info.api).port, '8300', 'a taken port is replaced');
      assert.equal((await fetch(first.info.api)).status, 200);
      await first.stop();
      const second = await start(home);
      assert.equal(await countStarts(second.info.databaseUrl), 2);
      await second.stop();
    } finally {
      blocker.close();
      removePostgresData(home);
      rmSync(outer, { recursive: true, force: true });
    }
  });
});

import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { afterEach, beforeEach, describe, it } from 'mocha';

import { createPortBook } from '../../../deploy/local/ports.ts';
import { identify, isRunning } from '../../../deploy/local/process-identity.ts';
import type { ChildSpec } from '../../../deploy/local/supervised-child.ts';
import { createSupervisor } from '../../../deploy/local/supervisor.ts';
import type { Supervisor } from '../../../deploy/local/supervisor.ts';
import { inheritedEnvironment } from '../../../platform/config.ts';
import { temporaryHome } from '../../support/stack.ts';

describe('supervisor', () => {
  let home: string;
  let supervisor: Supervisor;
  let events: string[];
  beforeEach(() => {
    home = temporaryHome();
    events = [];
    supervisor = createSupervisor({ home, onEvent: (child, event) => events.push(`${child}: ${event}`) });
  });
  afterEach(async () => {
    await supervisor.stop();
    rmSync(home, { recursive: true, force: true });
  });

  /** A tiny program that says `ready` and stays. */
  const script = (name: string, source: string, rest: Partial<ChildSpec> = {}): ChildSpec => ({
    name,
    command: process.execPath,
    args: ['-e', `${source}; console.log('ready'); setInterval(() => {}, 1000)`],
    env: inheritedEnvironment(),
    ready: { logLine: /^ready$/ },
    ...rest,
  });
  const logOf = (name: string): string => readFileSync(join(home, 'logs', `${name}.log`), 'utf8');

  it('stops children last-first', async () => {
    const file = join(home, 'order');
    const onTerm = (name: string): string =>
      `process.on('SIGTERM', () => { require('fs').appendFileSync('${file}', '${name} '); process.exit(0); })`;
    for (const name of ['one', 'two', 'three']) await supervisor.start(script(name, onTerm(name)));
    await supervisor.stop();
    assert.equal(readFileSync(file, 'utf8'), 'three two one ');
  });

  it('ends a child that ignores SIGTERM with SIGKILL after the grace', async () => {
    const child = await supervisor.start(script('deaf', "process.on('SIGTERM', () => {})", { graceMs: 150 }));
    const identity = identify(child.pid ?? 0) ?? assert.fail();
    await child.stop();
    assert.equal(isRunning(identity), false);
    assert.match(logOf('deaf'), /supervisor \| deaf did not stop within 150 ms: SIGKILL/);
  });

  it('keeps each line of a child in its log, with time and stream', async () => {
    await supervisor.start(script('talk', "console.log('first\\nsecond'); console.error('oh')"));
    const stamp = String.raw`\d{4}-\d\d-\d\dT[\d:.]+Z`;
    for (const line of [String.raw`out \| first`, String.raw`out \| second`, String.raw`err \| oh`]) {
      assert.match(logOf('talk'), new RegExp(`^${stamp} ${line}$`, 'm'));
    }
  });

  it('tells the end of the log when a child ends before it is ready', async () => {
    const spec = script('broken', "console.error('the disk is full'); process.exit(3)");
    await assert.rejects(supervisor.start(spec), /broken ended with code 3; the end of .*the disk is full/s);
  });

  it('says so when a program is not there or never becomes ready, and leaves nothing of it', async () => {
    const missing = script('missing', '', { command: join(home, 'no-such-program') });
    await assert.rejects(supervisor.start(missing), /missing could not be started: .*ENOENT/s);
    const never = script('never', '', { ready: { logLine: /^nothing says this$/ }, timeoutMsReady: 300 });
    await assert.rejects(supervisor.start(never), /never was not ready within 300 ms/);
    assert.deepEqual(JSON.parse(readFileSync(join(home, 'processes.json'), 'utf8')), []);
  });

  it('does not take the answer of another program on its port for its own readiness', async () => {
    const port = await createPortBook().reserve();
    const serve = `require('http').createServer((q, s) => s.end()).listen(${port}, '127.0.0.1')`;
    const ready = { url: `http://127.0.0.1:${port}/health/ready` };
    await supervisor.start(script('first', serve, { ready }));
    await assert.rejects(supervisor.start(script('second', serve, { ready })), /meant for second, was taken/);
  });

  it('starts a child again that crashed, later each time, and gives up on one that never recovers', async () => {
    const flag = join(home, 'broken-from-now-on');
    const source = `if (require('fs').existsSync('${flag}')) process.exit(9)`;
    const child = await supervisor.start(script('fragile', source));
    child.kill();
    await child.whenReady();
    assert.equal(child.restarts, 1);
    writeFileSync(flag, '');
    child.kill();
    while (events.filter((event) => /starting it again/.test(event)).length < 4) await delay(20);
    const waits = events.flatMap((event) => /again in (\d+) ms/.exec(event)?.[1] ?? []);
    assert.deepEqual(waits, ['250', '500', '1000', '2000']);
    await child.stop();
    const count = events.length;
    await delay(100);
    assert.equal(events.length, count, 'a stopped child is not started again');
  });

  it('leaves a crashed child alone when it is told to', async () => {
    const child = await supervisor.start(script('once', '', { restart: false }));
    child.kill();
    while (!events.some((event) => event === 'once: ended by SIGKILL; not restarted')) await delay(10);
    assert.equal(child.pid, undefined);
  });
});

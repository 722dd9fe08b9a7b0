import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'mocha';
import { eventually } from '../gateway-fixture.ts';
import { GatewayProcesses, isAlive, Load, predictionsBySlot } from './gateway-processes.ts';

/** A burst of connections may all fall to one process at first. */
async function evenLoad(gateway: GatewayProcesses): Promise<void> {
  const counts = async (): Promise<Map<string, number>> =>
    predictionsBySlot((await gateway.get('/metrics')).text);
  await eventually(
    async () => {
      const earlier = await counts();
      await new Promise((resolve) => setTimeout(resolve, 400));
      const later = await counts();
      const [a = 0, b = 0] = ['0', '1'].map((slot) => (later.get(slot) ?? 0) - (earlier.get(slot) ?? 0));
      return Math.min(a, b) > (a + b) * 0.35;
    },
    'each process answers at least 35 % of the requests',
    8000,
  );
}

describe('several gateway processes behind one port', () => {
  let gateway: GatewayProcesses;

  before(async () => {
    gateway = await GatewayProcesses.start({
      SLIPWAY_GATEWAY_PROCESSES_MIN: '2',
      SLIPWAY_GATEWAY_PROCESSES_MAX: '2',
    });
    await gateway.untilReady(2);
  });
  after(() => gateway.remove());

  it('start from the last good routes of a gateway that ran alone, without the control plane', async () => {
    assert.equal(await gateway.infer(false), 200);
    const folders = (await readdir(join(gateway.home, 'gateways'))).map(decodeURIComponent);
    assert.deepEqual(folders.toSorted(), ['box:1', 'box:1/0', 'box:1/1']);
  });

  it('share the connections, also those that all came at once', async () => {
    const load = new Load(gateway, { callers: 24, pauseMs: 20 });
    await evenLoad(gateway);
    await load.stop();
    assert.deepEqual(load.failures.flat(), []);
  });

  it('answer one scrape with the metrics of all, each family once', async () => {
    const { text } = await gateway.get('/metrics');
    for (const slot of ['0', '1']) {
      assert.match(text, new RegExp(`^slipway_gateway_process_up\\{process="${slot}"\\} 1$`, 'm'));
      assert.match(text, new RegExp(`^slipway_gateway_control_plane_reachable\\{process="${slot}",`, 'm'));
    }
    const types = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
    assert.deepEqual(types, [...new Set(types)]);
    assert.match(text, /^slipway_gateway_processes\{state="ready"\} 2$/m);
  });

  it('lose only the connections of a process that is killed, and get it back', async () => {
    const load = new Load(gateway, { callers: 16, pauseMs: 2 });
    const fresh = new Load(gateway, { callers: 4, pauseMs: 2, keepAlive: false });
    await evenLoad(gateway);
    const killed = gateway.pids.get(1)!;
    process.kill(killed, 'SIGKILL');
    await eventually(() => !gateway.pids.has(1), 'the primary noticed');
    const { answered } = load;
    await eventually(() => load.answered > answered + 200, 'the other goes on');
    await gateway.untilReady(2);
    assert.notEqual(gateway.pids.get(1), killed);
    await load.stop();
    await fresh.stop();
    const kept = load.failures.filter((failures) => failures.length === 0);
    assert.ok(kept.length > 0, 'callers of the other process noticed nothing');
    // Who was cut off connects again, and that works at once.
    for (const failures of load.failures) assert.ok(failures.length <= 1, failures.join('; '));
    assert.ok(
      [...load.failures, ...fresh.failures].flat().every((failure) => !failure.includes('no answer')),
      'nobody hangs',
    );
    assert.match(
      (await gateway.get('/metrics')).text,
      /^slipway_gateway_process_restarts_total\{process="1"\} 1$/m,
    );
  });

  it('are replaced one after the other on SIGHUP, and no request fails', async () => {
    const before = [...gateway.pids.values()];
    const load = new Load(gateway, { callers: 8, pauseMs: 3 });
    const fresh = new Load(gateway, { callers: 4, pauseMs: 3, keepAlive: false });
    const slow = new Load(gateway, { callers: 8, pauseMs: 700 });
    gateway.primary.kill('SIGHUP');
    await eventually(
      () => gateway.logged('every gateway process was replaced').length === 1,
      'replaced',
      20_000,
    );
    await Promise.all([load.stop(), fresh.stop(), slow.stop()]);
    assert.deepEqual([...load.failures, ...fresh.failures, ...slow.failures].flat(), []);
    assert.ok(load.answered > 200);
    const now = [...gateway.pids.values()];
    assert.equal(now.length, 2);
    assert.ok(
      now.every((pid) => !before.includes(pid)),
      'every process is a new one',
    );
    assert.ok(
      before.every((pid) => !isAlive(pid)),
      'no old one is left',
    );
  });

  it('drain within the shutdown time on SIGTERM, and leave nothing', async () => {
    const pids = [...gateway.pids.values()];
    const load = new Load(gateway, { callers: 4, pauseMs: 5 });
    await eventually(() => load.answered > 50, 'load');
    const startedMs = performance.now();
    gateway.primary.kill('SIGTERM');
    assert.equal(await gateway.ended, 0);
    assert.ok(performance.now() - startedMs < 7000);
    await load.stop();
    // Once the port is closed new connections are refused, or reset while they wait to be accepted.
    assert.ok(
      load.failures
        .flat()
        .every(
          (failure) => /ECONNREFUSED|ECONNRESET|socket hang up/.test(failure) && !failure.includes('kept'),
        ),
      load.failures.flat()[0],
    );
    assert.ok(pids.every((pid) => !isAlive(pid)));
  });
});

describe('a gateway with several processes', () => {
  let gateway: GatewayProcesses;
  afterEach(() => gateway.remove());

  it('has more of them under a load step, and fewer again after it, and fails no request', async () => {
    gateway = await GatewayProcesses.start({
      SLIPWAY_GATEWAY_PROCESSES_MIN: '1',
      SLIPWAY_GATEWAY_PROCESSES_MAX: '3',
      SLIPWAY_GATEWAY_TARGET_RPS: '50',
      SLIPWAY_GATEWAY_SCALE_UP_MS: '1000',
      SLIPWAY_GATEWAY_SCALE_DOWN_MS: '2000',
      // Only the requests per second: the machine that runs this test may be busy with others.
      SLIPWAY_GATEWAY_TARGET_BUSY_PERCENT: '95',
      SLIPWAY_GATEWAY_TARGET_P99_MS: '60000',
    });
    await gateway.untilReady(1);
    const calm = new Load(gateway, { callers: 2, pauseMs: 200 });
    await new Promise((resolve) => setTimeout(resolve, 3000));
    assert.equal(gateway.pids.size, 1, 'calm load needs one');
    // About 130 requests a second, 2.6 times what one should carry.
    const step = new Load(gateway, { callers: 13, pauseMs: 95 });
    await gateway.untilReady(3, 10_000);
    const earlier = predictionsBySlot((await gateway.get('/metrics')).text);
    await eventually(
      async () => {
        const counts = predictionsBySlot((await gateway.get('/metrics')).text);
        return ['0', '1', '2'].every((slot) => (counts.get(slot) ?? 0) > (earlier.get(slot) ?? 0) + 30);
      },
      'callers with open connections reach the new processes too',
      8000,
    );
    await step.stop();
    await gateway.untilReady(1, 15_000);
    await calm.stop();
    assert.deepEqual([...calm.failures, ...step.failures].flat(), []);
    const changes = gateway.logged('the number of gateway processes changes') as unknown as {
      from: number;
      to: number;
    }[];
    assert.deepEqual(
      changes.map(({ from, to }) => `${from} to ${to}`),
      ['1 to 3', '3 to 2', '2 to 1'],
    );
  });

  it('ends when its primary is killed, after what is under way', async () => {
    gateway = await GatewayProcesses.start({
      SLIPWAY_GATEWAY_PROCESSES_MIN: '2',
      SLIPWAY_GATEWAY_PROCESSES_MAX: '2',
    });
    await gateway.untilReady(2);
    const pids = [...gateway.pids.values()];
    const load = new Load(gateway, { callers: 4, pauseMs: 5 });
    await eventually(() => load.answered > 20, 'load');
    gateway.primary.kill('SIGKILL');
    await eventually(() => pids.every((pid) => !isAlive(pid)), 'no process is left', 8000);
    await load.stop();
    assert.ok(
      load.failures
        .flat()
        .every(
          (failure) => /ECONNREFUSED|ECONNRESET|socket hang up/.test(failure) && !failure.includes('kept'),
        ),
      load.failures.flat()[0],
    );
  });

  it('gives up at once, with code 1, when it cannot listen', async () => {
    gateway = await GatewayProcesses.start({
      SLIPWAY_GATEWAY_PROCESSES_MAX: '2',
      SLIPWAY_HOST: '192.0.2.1',
    });
    assert.equal(await gateway.ended, 1);
    assert.equal(gateway.logged('no gateway process works').length, 1);
  });
});

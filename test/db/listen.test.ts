import { strict as assert } from 'node:assert';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'mocha';
import { CHANNELS, createNotifications, listen, openDatabase } from '../../db/index.ts';
import type { Notification } from '../../db/index.ts';
import { openRegistry, query } from './registry-fixture.ts';
import type { RegistryFixture } from './registry-fixture.ts';

const LISTENERS = `select count(*)::int as n from pg_stat_activity
  where application_name = 'slipway-listen' and datname = current_database()`;

describe('LISTEN', () => {
  let registry: RegistryFixture;
  before(async () => {
    registry = await openRegistry();
    await registry.notifications.close();
  });
  after(() => registry.close());

  const notify = (payload: string) => query(registry, 'select pg_notify($1, $2)', [CHANNELS.routes, payload]);
  const connections = async () => (await query<{ n: number }>(registry, LISTENERS))[0]!.n;

  /** Collects notifications and waits for the next one that fits. */
  function collector() {
    const seen: Notification[] = [];
    const waiting = new Set<() => void>();
    const add = (notification: Notification): void => {
      seen.push(notification);
      for (const wake of waiting) wake();
    };
    const until = async (fits: () => boolean): Promise<void> => {
      while (!fits()) {
        await new Promise<void>((resolve) => {
          const wake = (): void => {
            waiting.delete(wake);
            resolve();
          };
          waiting.add(wake);
        });
      }
    };
    const connected = () => seen.filter(({ kind }) => kind === 'connected').length;
    const payloads = () => seen.flatMap((one) => (one.kind === 'notified' ? [one.payload] : []));
    return { add, until, connected, payloads };
  }

  it('comes back after its backend was terminated, says so, and hears again', async () => {
    const { add, until, connected, payloads } = collector();
    const listener = listen(registry.url, [CHANNELS.routes], add);
    await listener.firstAttempt;
    await notify('before');
    await until(() => payloads().includes('before'));
    for (let restart = 1; restart <= 3; restart += 1) {
      await query(
        registry,
        `select pg_terminate_backend(pid) from pg_stat_activity
          where application_name = 'slipway-listen' and datname = current_database()`,
      );
      await until(() => connected() === restart + 1);
      await notify(`after ${restart}`);
      await until(() => payloads().includes(`after ${restart}`));
    }
    assert.equal(await connections(), 1, 'no connection is left behind');
    await listener.close();
    await until(() => true);
    for (let tries = 0; (await connections()) > 0 && tries < 50; tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.equal(await connections(), 0);
  });

  it('starts without PostgreSQL and connects when it is there; close ends the attempts', async () => {
    // A port that answers nothing useful at first, as while the server restarts.
    const refusing = createServer((socket) => socket.destroy());
    refusing.listen(0, '127.0.0.1');
    await once(refusing, 'listening');
    let attempts = 0;
    refusing.on('connection', () => (attempts += 1));
    const { port } = refusing.address() as AddressInfo;
    const { add, connected } = collector();
    const listener = listen(`postgres://nobody@127.0.0.1:${port}/none`, [CHANNELS.routes], add);
    await listener.firstAttempt;
    for (let attempt = 0; attempt < 3; attempt += 1) await once(refusing, 'connection');
    assert.equal(connected(), 0);
    await listener.close();
    const atClose = attempts;
    await new Promise((resolve) => setTimeout(resolve, 600));
    assert.ok(attempts <= atClose + 1);
    refusing.close();
  });

  it('after a lost connection every waiter looks again, because something may have been missed', async () => {
    const notifications = createNotifications(registry.url, [CHANNELS.routes]);
    await notifications.firstAttempt;
    const start = performance.now();
    const wait = notifications.wait(CHANNELS.routes, 'elec2', 20_000, new AbortController().signal);
    await query(
      registry,
      `select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = 'slipway-listen' and datname = current_database()`,
    );
    await wait;
    assert.ok(performance.now() - start < 5_000);
    const everyone = notifications.wait(CHANNELS.routes, 'elec2', 20_000, new AbortController().signal);
    await notify('*');
    await everyone;
    await notifications.close();
  });

  it('a pool survives the termination of its connections, and reports it', async () => {
    const lost: Error[] = [];
    const db = openDatabase({
      databaseUrl: registry.url,
      applicationName: 'slipway-victim',
      onConnectionLost: (error) => lost.push(error),
    });
    await db.read((orm) => orm.execute('select 1'));
    const terminate = `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'slipway-victim'`;
    await query(registry, terminate);
    while (lost.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await db.read((orm) => orm.execute('select 1'));
    await db.close();
  });
});

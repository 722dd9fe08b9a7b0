/**
 * LISTEN on a connection of its own that heals itself. Notifications sent while it was away are lost, so the callback
 * is told of every (re)connection and looks for itself.
 */
import { Client, escapeIdentifier } from 'pg';

export const CHANNELS = {
  /** Routes, or what may be served on them, changed; the payload is the endpoint or `*`. */
  routes: 'slipway_routes',
  /** Windows, labels or a trip arrived; the payload is the endpoint. */
  evidence: 'slipway_evidence',
  /** A gateway applied something or left; the payload is the endpoint or `*`. */
  acknowledgements: 'slipway_acknowledgements',
} as const;
export type Channel = (typeof CHANNELS)[keyof typeof CHANNELS];

export type Notification =
  | { readonly kind: 'connected' }
  | { readonly kind: 'notified'; readonly channel: Channel; readonly payload: string };

export interface Listener {
  /** Resolves when the first attempt to connect has ended, well or not. */
  readonly firstAttempt: Promise<void>;
  close(): Promise<void>;
}

const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 5_000;
/** A connection that died without a word (a lost route, a frozen server) is found within a ping and its timeout. */
const PING_EVERY_MS = 10_000;
const PING_TIMEOUT_MS = 5_000;

export function listen(
  databaseUrl: string,
  channels: readonly Channel[],
  onNotification: (notification: Notification) => void,
): Listener {
  let closed = false;
  let current: Client | null = null;
  let retry: NodeJS.Timeout | null = null;
  let retryMs = FIRST_RETRY_MS;

  const reconnectLater = (lost: Client): void => {
    if (closed || current !== lost) return;
    current = null;
    // Half of the delay is drawn, so that the gateways of a restarted database do not come back in one instant.
    retry = setTimeout(() => void connect(), retryMs * (0.5 + Math.random() / 2));
    retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS);
  };

  async function connect(): Promise<void> {
    const client = new Client({
      connectionString: databaseUrl,
      application_name: 'slipway-listen',
      connectionTimeoutMillis: 5_000,
      query_timeout: PING_TIMEOUT_MS,
      keepAlive: true,
    });
    current = client;
    let ping: NodeJS.Timeout | undefined;
    const dropped = (): void => {
      clearInterval(ping);
      reconnectLater(client);
      // The connection is what broke; another one is on its way.
      client.end().catch(() => undefined);
    };
    client.on('error', dropped);
    client.on('end', dropped);
    client.on('notification', ({ channel, payload }) => {
      const known = channels.find((name) => name === channel);
      if (known !== undefined) onNotification({ kind: 'notified', channel: known, payload: payload ?? '' });
    });
    try {
      await client.connect();
      for (const channel of channels) await client.query(`listen ${escapeIdentifier(channel)}`);
    } catch {
      // Not an error to report: the caller polls, and the next attempt follows.
      return dropped();
    }
    if (closed) return dropped();
    retryMs = FIRST_RETRY_MS;
    ping = setInterval(() => void client.query('select 1').catch(dropped), PING_EVERY_MS);
    onNotification({ kind: 'connected' });
  }

  return {
    firstAttempt: connect(),
    async close() {
      closed = true;
      if (retry !== null) clearTimeout(retry);
      const client = current;
      current = null;
      await client?.end();
    },
  };
}

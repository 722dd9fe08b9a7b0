/**
 * The online store behind the Redis protocol.
 *
 * Layout, all of it text:
 * - `slipway:feature:<view>:<entity key>` → `<event time in ms> <values as JSON>`; one `MGET` reads any number of views.
 * - `slipway:feature-heat:<view>:<hours since 1970>` → sorted set of entity keys by requests; expires after two hours.
 *
 * The names of views have no colon, so no two of them share a key. All keys of a read are asked in one command: a
 * cluster, which would need one per slot, is not supported.
 */
import { createClient } from '@redis/client';
import { SlipwayError } from '../../domain/errors.ts';
import { writableRows } from '../../domain/features/online-row.ts';
import type { OnlineRow } from '../../domain/features/online-row.ts';
import type { Clock } from '../../platform/clock.ts';
import { systemClock } from '../../platform/clock.ts';
import type { OnlineFeatureWriter, OnlineStore } from './online-store.ts';

export interface RedisStore extends OnlineStore, OnlineFeatureWriter {
  /** Whether it is connected at this moment. */
  readonly ready: boolean;
  close(): Promise<void>;
}

export interface RedisStoreOptions {
  readonly url: string;
  readonly clock?: Clock;
  /** Called for each failed attempt; the next one comes by itself. */
  readonly onConnectionLost?: (error: Error) => void;
}

const HOUR_MS = 3_600_000;
const HEAT_KEPT_SECONDS = 7200;
const HEAT_KEPT = 100_000;
const ROWS_PER_WRITE = 1000;
const CONNECT_MS = 2000;
const LONGEST_PAUSE_MS = 2000;

/** Compare and set on the server: two writers at once cannot let the older row win. */
const WRITE_NEWER = `for i, key in ipairs(KEYS) do
  local present = redis.call('GET', key)
  local at = present and tonumber(string.match(present, '^(%d+) '))
  if not at or at <= tonumber(ARGV[2 * i - 1]) then
    redis.call('SET', key, ARGV[2 * i - 1] .. ' ' .. ARGV[2 * i])
  end
end`;

/**
 * Begins to connect, and goes on trying when it cannot; until then every call fails at once, and so do calls while the
 * connection is lost: waiting for it is not what a request has time for.
 */
export function openRedisStore({
  url,
  clock = systemClock,
  onConnectionLost,
}: RedisStoreOptions): RedisStore {
  const client = createClient({
    url,
    disableOfflineQueue: true,
    commandsQueueMaxLength: 10_000,
    socket: {
      connectTimeout: CONNECT_MS,
      reconnectStrategy: (attempts) => Math.min(LONGEST_PAUSE_MS, 50 * 2 ** Math.min(attempts, 10)),
    },
  });
  // Without a listener a lost connection would end the process.
  client.on('error', (error: unknown) =>
    onConnectionLost?.(error instanceof Error ? error : new Error(String(error))),
  );
  const connecting = client.connect().then(
    () => undefined,
    // Already told to the listener, or the store was closed before it was connected.
    () => undefined,
  );
  const heatKey = (view: string, hour: number): string => `slipway:feature-heat:${view}:${hour}`;
  const hourNow = (): number => Math.floor(clock.now() / HOUR_MS);

  return {
    get ready() {
      return client.isReady;
    },

    async read(reads) {
      const keys: string[] = [];
      for (const { view, keys: own } of reads) for (const key of own) keys.push(rowKey(view, key));
      const stored = keys.length === 0 ? [] : await guarded(client.mGet(keys));
      let from = 0;
      return reads.map(({ keys: own }) => stored.slice(from, (from += own.length)).map(parseRow));
    },

    async hottest(view, limit) {
      const hour = hourNow();
      const summed = await guarded(client.zUnionWithScores([heatKey(view, hour), heatKey(view, hour - 1)]));
      return summed
        .toSorted((a, b) => b.score - a.score)
        .slice(0, limit)
        .map(({ value }) => value);
    },

    async noteHeat(view, heat) {
      const key = heatKey(view, hourNow());
      const commands = client.multi();
      for (const { key: member, heat: count } of heat) commands.zIncrBy(key, count, member);
      commands.zRemRangeByRank(key, 0, -HEAT_KEPT - 1);
      commands.expire(key, HEAT_KEPT_SECONDS);
      await guarded(commands.execAsPipeline());
    },

    async write(view, rows) {
      const writable = writableRows(rows);
      for (let at = 0; at < writable.length; at += ROWS_PER_WRITE) {
        const batch = writable.slice(at, at + ROWS_PER_WRITE);
        const keys = batch.map(({ key }) => rowKey(view, key));
        const values = batch.flatMap((row) => [String(row.eventAtMs), JSON.stringify(row.values)]);
        await guarded(client.eval(WRITE_NEWER, { keys, arguments: values }));
      }
    },

    async close() {
      client.destroy();
      await connecting;
    },
  };
}

function rowKey(view: string, key: string): string {
  return `slipway:feature:${view}:${key}`;
}

function parseRow(text: string | null): OnlineRow | null {
  if (text === null) return null;
  const space = text.indexOf(' ');
  const eventAtMs = Number(text.slice(0, space));
  // What somebody else wrote there counts as absent: it must fail neither the other keys of the read nor the gateway.
  if (space < 1 || !Number.isSafeInteger(eventAtMs)) return null;
  try {
    const values: unknown = JSON.parse(text.slice(space + 1));
    const isObject = typeof values === 'object' && values !== null && !Array.isArray(values);
    return isObject ? { eventAtMs, values: values as OnlineRow['values'] } : null;
  } catch {
    return null;
  }
}

async function guarded<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    // The message of a failed command may hold its keys, which may be a person's.
    const internal = error instanceof Error ? error.name : 'unknown error';
    throw new SlipwayError('UNAVAILABLE', 'the Redis feature store could not carry this out', { internal });
  }
}

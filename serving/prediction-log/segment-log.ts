/**
 * Group commit: rows gather in memory, and every 50 ms, or once 1 MiB is full, what has gathered is written with one
 * flush per endpoint. While the disk is busy the next group gathers; once the memory is full, rows are dropped.
 */
import { endianness } from 'node:os';
import type { Clock } from '../../platform/clock.ts';
import { explain } from '../log.ts';
import type { GatewayLog } from '../log.ts';
import { within } from '../within.ts';
import { BlockBufferPool } from './block-buffer.ts';
import { EndpointLog } from './endpoint-log.ts';
import type { EndpointLogHost } from './endpoint-log.ts';
import type { PredictionSchema } from './prediction-columns.ts';
import { deleteOldSegments } from './retention.ts';
import { realDisk } from './segment-disk.ts';
import type { SegmentDisk } from './segment-disk.ts';
import { SegmentWriter } from './segment-writer.ts';

export interface SegmentMetrics {
  /** Since the last call. */
  predictionsLogged(endpoint: string, written: number, dropped: number): void;
  predictionLogCommit(bytes: number, ms: number): void;
  predictionLogFailed(): void;
}

export interface SegmentLogOptions {
  /** A folder per endpoint is made in it. */
  readonly folder: string;
  readonly gatewayId: string;
  readonly bootId: string;
  /** Of all segments of this gateway; the oldest are deleted beyond it. */
  readonly maxBytes: number;
  readonly clock: Clock;
  readonly metrics: SegmentMetrics;
  readonly log: GatewayLog;
  readonly settings?: Partial<SegmentLogSettings>;
  readonly disk?: SegmentDisk;
}

export interface SegmentLogSettings {
  readonly commitMs: number;
  readonly commitBytes: number;
  readonly memoryBytes: number;
  readonly segmentBytes: number;
  readonly retryMs: number;
}

const DEFAULTS: SegmentLogSettings = {
  commitMs: 50,
  commitBytes: 1024 * 1024,
  memoryBytes: 8 * 1024 * 1024,
  segmentBytes: 64 * 1024 * 1024,
  retryMs: 1000,
};

/** Once closed, added = written + dropped, and nothing waits. */
export interface SegmentLogStatistics {
  readonly added: number;
  readonly written: number;
  readonly dropped: number;
  readonly waiting: number;
  readonly failures: number;
}

interface Channel {
  readonly key: string;
  readonly rows: EndpointLog;
  readonly writer: SegmentWriter;
  written: number;
  toldWritten: number;
  toldDropped: number;
  retired: boolean;
}

export class SegmentLog {
  readonly #options: SegmentLogOptions;
  readonly #settings: SegmentLogSettings;
  readonly #host: EndpointLogHost;
  readonly #pool: BlockBufferPool;
  readonly #channels = new Map<string, Channel>();
  /** Of endpoints whose columns have changed; gone once they are written. */
  readonly #retired = new Set<Channel>();
  readonly #blockNumbers = new Map<string, { next: number }>();
  readonly #gone = { added: 0, written: 0, dropped: 0 };
  #segments = 0;
  #failures = 0;
  #failing = false;
  #misshapen = false;
  #timer: NodeJS.Timeout | null = null;
  #soon = false;
  #committing: Promise<boolean> | null = null;
  #retaining: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: SegmentLogOptions) {
    if (endianness() !== 'LE')
      throw new Error('the prediction log is written on little-endian machines only');
    this.#options = options;
    this.#settings = { ...DEFAULTS, ...options.settings };
    this.#pool = new BlockBufferPool(this.#settings.memoryBytes);
    this.#host = {
      pool: this.#pool,
      wake: () => this.#schedule(this.#settings.commitMs),
      sealed: () => this.#sealed(),
      misshapen: (endpoint) => this.#complain(endpoint),
    };
  }

  /** The log of an endpoint. Ask again when its columns may have changed, and use what comes from then on. */
  endpoint(schema: PredictionSchema): EndpointLog {
    const key = JSON.stringify(schema);
    const present = this.#channels.get(schema.endpoint);
    if (present?.key === key) return present.rows;
    const { folder, gatewayId, bootId, clock, disk = realDisk } = this.#options;
    const numbers = this.#blockNumbers.get(schema.endpoint) ?? { next: 0 };
    this.#blockNumbers.set(schema.endpoint, numbers);
    const rows = new EndpointLog(schema, numbers, this.#host);
    const writer = new SegmentWriter({
      folder,
      endpoint: schema.endpoint,
      gatewayId,
      bootId,
      columns: rows.columns,
      nextSegment: () => this.#segments++,
      segmentBytes: this.#settings.segmentBytes,
      disk,
      clock,
      onSegment: () => this.#retain(),
    });
    if (present !== undefined) this.#retire(present);
    const channel = { key, rows, writer, written: 0, toldWritten: 0, toldDropped: 0, retired: false };
    this.#channels.set(schema.endpoint, channel);
    if (this.#closed) rows.close();
    return rows;
  }

  statistics(): SegmentLogStatistics {
    const sum = { ...this.#gone, waiting: 0, failures: this.#failures };
    for (const { rows, written } of this.#all()) {
      sum.added += rows.added;
      sum.dropped += rows.dropped;
      sum.written += written;
      sum.waiting += rows.waiting;
    }
    return sum;
  }

  /** Commits what was added up to now. @returns false when the disk refuses it; it is kept and tried again. */
  async flush(): Promise<boolean> {
    await this.#committing;
    for (const { rows } of this.#all()) rows.seal(this.#options.clock.now());
    return this.#commit();
  }

  /** The last commit. Gives up after `timeoutMs`: a disk that hangs cannot hold up the stop. */
  async close(timeoutMs: number): Promise<void> {
    this.#closed = true;
    for (const { rows } of this.#all()) rows.close();
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const end = async (): Promise<void> => {
      await this.flush();
      for (const { writer } of this.#all()) await writer.close();
      await this.#retaining;
    };
    let reason: unknown = 'the disk did not answer in time';
    const ended = await within(
      end().catch((error: unknown) => {
        reason = explain(error);
        throw error;
      }),
      timeoutMs,
    ).catch(() => false);
    let rows = 0;
    for (const channel of this.#all()) rows += channel.rows.abandon();
    this.#tell();
    const { log } = this.#options;
    if (rows > 0) log.error({ rows }, 'the last rows of the prediction log could not be written');
    if (!ended) log.error({ reason }, 'the prediction log was not closed');
  }

  *#all(): Generator<Channel> {
    yield* this.#retired;
    yield* this.#channels.values();
  }

  #schedule(ms: number): void {
    if (this.#timer !== null || this.#committing !== null || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#tick();
    }, ms);
    this.#timer.unref();
  }

  /** While the disk fails, a block is filled before the next one is begun: else a few rows would take all the memory. */
  #tick(): void {
    for (const { rows } of this.#all()) {
      if (!this.#failing || rows.queue.length === 0) rows.seal(this.#options.clock.now());
    }
    void this.#commit();
  }

  /** Not at once: a request is being answered right now. */
  #sealed(): void {
    if (this.#soon || this.#failing || this.#committing !== null || this.#closed) return;
    let bytes = 0;
    for (const { rows } of this.#all()) for (const block of rows.queue) bytes += block.bytes;
    if (bytes < this.#settings.commitBytes) return;
    this.#soon = true;
    setImmediate(() => {
      this.#soon = false;
      if (!this.#closed) void this.#commit();
    });
  }

  #commit(): Promise<boolean> {
    this.#committing ??= this.#writeAll().finally(() => {
      this.#committing = null;
      const all = [...this.#all()];
      if (all.some(({ rows }) => rows.queue.length > 0 || rows.hasNews)) {
        this.#schedule(this.#failing ? this.#settings.retryMs : this.#settings.commitMs);
        this.#sealed();
      }
    });
    return this.#committing;
  }

  async #writeAll(): Promise<boolean> {
    const { metrics, clock } = this.#options;
    const waiting = [...this.#all()].filter(({ rows, retired }) => rows.queue.length > 0 || retired);
    const startedMs = clock.monotonic();
    const results = await Promise.all(waiting.map((channel) => this.#write(channel)));
    const bytes = results.reduce<number>((sum, result) => sum + (result ?? 0), 0);
    if (bytes > 0) metrics.predictionLogCommit(bytes, clock.monotonic() - startedMs);
    this.#tell();
    const failed = results.includes(null);
    if (!failed && this.#failing) this.#options.log.info({}, 'the prediction log is written again');
    this.#failing = failed;
    return !failed;
  }

  /** @returns the bytes that were written; null when they were not */
  async #write(channel: Channel): Promise<number | null> {
    const { rows, writer } = channel;
    const blocks = rows.queue.slice();
    try {
      const bytes = blocks.length === 0 ? 0 : await writer.write(blocks);
      // Unless it came after the stop had given up on them, and had counted them as lost.
      if (rows.queue[0] !== blocks[0]) return bytes;
      rows.queue.splice(0, blocks.length);
      for (const block of blocks) {
        channel.written += block.rows;
        this.#pool.give(block.buffer);
      }
      if (channel.retired && rows.queue.length === 0 && !rows.hasNews) await this.#forget(channel);
      return bytes;
    } catch (error) {
      this.#failed(rows.endpoint, error);
      return null;
    }
  }

  #failed(endpoint: string, error: unknown): void {
    this.#failures += 1;
    this.#options.metrics.predictionLogFailed();
    if (this.#failing) return;
    this.#failing = true;
    const reason = explain(error);
    this.#options.log.warn(
      { endpoint, reason },
      'the prediction log cannot be written; it is kept as far as there is memory, and tried again',
    );
  }

  #retire(channel: Channel): void {
    channel.rows.close();
    channel.rows.seal(this.#options.clock.now());
    channel.retired = true;
    this.#retired.add(channel);
    this.#schedule(this.#settings.commitMs);
  }

  async #forget(channel: Channel): Promise<void> {
    this.#tell();
    this.#retired.delete(channel);
    this.#gone.added += channel.rows.added;
    this.#gone.written += channel.written;
    this.#gone.dropped += channel.rows.dropped;
    await channel.writer.close();
  }

  #retain(): void {
    const { folder, gatewayId, maxBytes, log } = this.#options;
    this.#retaining = this.#retaining.then(async () => {
      const open = new Set<string>();
      for (const { writer } of this.#all()) if (writer.path !== null) open.add(writer.path);
      try {
        const deleted = await deleteOldSegments({ folder, gatewayId, maxBytes, open });
        if (deleted.length > 0) log.info({ segments: deleted.length }, 'old prediction log was deleted');
      } catch (error) {
        log.warn({ reason: explain(error) }, 'old segments of the prediction log could not be deleted');
      }
    });
  }

  #tell(): void {
    for (const channel of this.#all()) {
      const { rows, written } = channel;
      const newWritten = written - channel.toldWritten;
      const newDropped = rows.dropped - channel.toldDropped;
      if (newWritten === 0 && newDropped === 0) continue;
      channel.toldWritten = written;
      channel.toldDropped = rows.dropped;
      this.#options.metrics.predictionsLogged(rows.endpoint, newWritten, newDropped);
    }
  }

  #complain(endpoint: string): void {
    if (this.#misshapen) return;
    this.#misshapen = true;
    this.#options.log.error(
      { endpoint },
      'a prediction was offered to the log without its features; it is lost',
    );
  }
}

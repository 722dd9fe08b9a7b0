/** Writes the blocks of one endpoint, one segment after the other. */
import { join } from 'node:path';
import type { Clock } from '../../platform/clock.ts';
import {
  encodeSegmentHeader,
  endpointFolderName,
  segmentFileName,
} from '../../platform/prediction-segments/index.ts';
import type { SegmentColumn } from '../../platform/prediction-segments/index.ts';
import type { SealedBlock } from './endpoint-log.ts';
import type { SegmentDisk, SegmentHandle } from './segment-disk.ts';

export interface SegmentWriterOptions {
  readonly folder: string;
  readonly endpoint: string;
  readonly gatewayId: string;
  readonly bootId: string;
  readonly columns: readonly SegmentColumn[];
  /** Counts the segments of this start of the gateway. */
  readonly nextSegment: () => number;
  readonly segmentBytes: number;
  readonly disk: SegmentDisk;
  readonly clock: Clock;
  readonly onSegment: () => void;
}

interface OpenSegment {
  readonly path: string;
  readonly handle: SegmentHandle;
  readonly hour: number;
  /** What was committed; the header alone at first. */
  bytes: number;
  blocks: number;
}

const HOUR_MS = 3_600_000;

export class SegmentWriter {
  readonly #options: SegmentWriterOptions;
  #segment: OpenSegment | null = null;

  constructor(options: SegmentWriterOptions) {
    this.#options = options;
  }

  /** The file that is being written. */
  get path(): string | null {
    return this.#segment?.path ?? null;
  }

  /**
   * Commits the blocks: one write, one flush. When that fails, nobody knows what of it has reached the disk (after a
   * failed flush the next one may succeed without having written anything), so the segment ends where it was certain
   * and the blocks go into a new one.
   */
  async write(blocks: readonly SealedBlock[]): Promise<number> {
    const parts = blocks.map(({ buffer, bytes }) => buffer.bytes.subarray(0, bytes));
    const bytes = parts.reduce((sum, part) => sum + part.length, 0);
    const segment = await this.#segmentFor(bytes);
    try {
      await segment.handle.write(parts, segment.bytes);
      await segment.handle.sync();
    } catch (error) {
      this.#segment = null;
      throw await this.#discard(segment, error);
    }
    segment.bytes += bytes;
    segment.blocks += blocks.length;
    return bytes;
  }

  async close(): Promise<void> {
    const segment = this.#segment;
    this.#segment = null;
    await segment?.handle.close();
  }

  async #segmentFor(bytes: number): Promise<OpenSegment> {
    const { segmentBytes, clock } = this.#options;
    const hour = Math.floor(clock.now() / HOUR_MS);
    const present = this.#segment;
    if (present !== null) {
      const full = present.blocks > 0 && present.bytes + bytes > segmentBytes;
      if (!full && present.hour === hour) return present;
      await this.close();
    }
    this.#segment = await this.#begin(hour);
    this.#options.onSegment();
    return this.#segment;
  }

  async #begin(hour: number): Promise<OpenSegment> {
    const { folder, endpoint, gatewayId, bootId, columns, nextSegment, disk, clock } = this.#options;
    const number = nextSegment();
    const name = segmentFileName(gatewayId, bootId, number);
    const path = join(folder, endpointFolderName(endpoint), name);
    const header = encodeSegmentHeader({
      endpoint,
      gateway: gatewayId,
      boot: bootId,
      segment: number,
      createdAtMs: clock.now(),
      columns,
    });
    const handle = await disk.create(path);
    const segment = { path, handle, hour, bytes: header.length, blocks: 0 };
    try {
      await handle.write([header], 0);
    } catch (error) {
      throw await this.#discard(segment, error);
    }
    return segment;
  }

  /** @returns the error, with what else went wrong: blocks that could not be cut off are told by their numbers. */
  async #discard({ handle, path, bytes, blocks }: OpenSegment, error: unknown): Promise<unknown> {
    const steps = [
      () => handle.truncate(bytes),
      () => handle.close(),
      () => (blocks === 0 ? this.#options.disk.remove(path) : Promise.resolve()),
    ];
    const errors = [error];
    for (const step of steps) {
      try {
        await step();
      } catch (next) {
        errors.push(next);
      }
    }
    const reason = error instanceof Error ? error.message : String(error);
    return errors.length === 1 ? error : new AggregateError(errors, reason);
  }
}

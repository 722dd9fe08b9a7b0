/** The rows of one endpoint on their way into blocks. Everything here is synchronous; nothing here waits or throws. */
import {
  BLOCK_HEADER_BYTES,
  NONE,
  WIDTHS,
  align,
  sealBlock,
} from '../../platform/prediction-segments/index.ts';
import type { SegmentColumn } from '../../platform/prediction-segments/index.ts';
import { PRESENT } from '../features/feature-status.ts';
import type { Outcome } from '../metrics.ts';
import type { ModelOutput } from '../models/model-session.ts';
import { BLOCK_BUFFER_BYTES } from './block-buffer.ts';
import type { BlockBuffer, BlockBufferPool } from './block-buffer.ts';
import { MAX_LOGGED_FEATURES, OUTCOMES, predictionColumns } from './prediction-columns.ts';
import type { PredictionSchema } from './prediction-columns.ts';
import { writeUuid } from './uuid-bytes.ts';

/** One answered request; its rows are copied before `add` returns. */
export interface LoggedPrediction {
  readonly predictionId: string;
  readonly rows: number;
  readonly atMs: number;
  readonly generation: number;
  readonly arm: string;
  readonly version: string;
  readonly experiment: string | null;
  /** Probability with which the experiment chose the arm; not looked at without an experiment. */
  readonly propensity: number;
  readonly outcome: Outcome;
  /** Null when the arm failed. */
  readonly output: ModelOutput | null;
  readonly latencyMs: number;
  /** Row-major [rows, width of the schema]; not looked at when no feature is logged. */
  readonly features: Float32Array;
  /** Codes of online features, row-major [rows, statusWidth of the schema]; null when all of them are PRESENT. */
  readonly statuses: Uint8Array | null;
}

export interface SealedBlock {
  readonly buffer: BlockBuffer;
  readonly bytes: number;
  readonly rows: number;
}

export interface EndpointLogHost {
  readonly pool: BlockBufferPool;
  /** Rows are waiting. */
  readonly wake: () => void;
  /** A block is full. */
  readonly sealed: () => void;
  /** Features that are no matrix of the schema's shape: a mistake in the gateway, not of a caller. */
  readonly misshapen: (endpoint: string) => void;
}

/** What the dictionaries of a block may take; one with 36-character texts holds a hundred of them. */
const DICTIONARY_BYTES = 4096;
const EMPTY_DICTIONARIES = JSON.stringify({ prediction_id: [], arm: [], version: [], experiment: [] }).length;
const MAX_ENTRIES = NONE.dict8;
const MAX_ROWS = NONE.u16 - 1;
const MAX_MICROS = 0xffff_fffe;

/** The fixed columns, as `predictionColumns` has them. */
const ID = 0;
const ROW = 1;
const AT = 2;
const GENERATION = 3;
const ARM = 4;
const VERSION = 5;
const EXPERIMENT = 6;
const PROPENSITY = 7;
const OUTCOME = 8;
const DECISION = 9;
const SCORE = 10;
const LATENCY = 11;
const FIXED_COLUMNS = 12;

export class EndpointLog {
  readonly endpoint: string;
  readonly columns: readonly SegmentColumn[];
  /** Blocks that are to be written, oldest first. */
  readonly queue: SealedBlock[] = [];
  added = 0;
  dropped = 0;
  readonly #schema: PredictionSchema;
  readonly #host: EndpointLogHost;
  /** Numbers of blocks go on over changes of the schema. */
  readonly #numbers: { next: number };
  readonly #capacity: number;
  /** Where each column begins while the block is filled, in bytes. */
  readonly #offsets: Int32Array;
  /** For each feature: where its column begins in floats, and where it is in the input. */
  readonly #featureAt: Int32Array;
  readonly #featureColumn: Int32Array;
  readonly #statusAt: Int32Array;
  readonly #statusColumn: Int32Array;
  #active: BlockBuffer | null = null;
  #droppedSinceBlock = 0;
  #arm = 0;
  #version = 0;
  #experiment: number = NONE.dict8;
  #closed = false;

  constructor(schema: PredictionSchema, numbers: { next: number }, host: EndpointLogHost) {
    if (schema.features.length > MAX_LOGGED_FEATURES) {
      throw new RangeError(`the prediction log takes at most ${MAX_LOGGED_FEATURES} features`);
    }
    this.endpoint = schema.endpoint;
    this.columns = predictionColumns(schema);
    this.#schema = schema;
    this.#numbers = numbers;
    this.#host = host;
    this.#capacity = capacityOf(this.columns);
    this.#offsets = new Int32Array(this.columns.length);
    let offset = BLOCK_HEADER_BYTES;
    for (const [index, { type }] of this.columns.entries()) {
      this.#offsets[index] = offset;
      offset += this.#capacity * WIDTHS[type];
    }
    const { features } = schema;
    const online = features.filter(({ status }) => status !== null);
    const at = (index: number): number => this.#offsets[index] as number;
    this.#featureAt = Int32Array.from(features, (_, index) => at(FIXED_COLUMNS + index) / 4);
    this.#featureColumn = Int32Array.from(features, ({ column }) => column);
    this.#statusAt = Int32Array.from(online, (_, index) => at(FIXED_COLUMNS + features.length + index));
    this.#statusColumn = Int32Array.from(online, ({ status }) => status as number);
  }

  /** Rows that are in memory only. */
  get waiting(): number {
    let rows = this.#active?.rows ?? 0;
    for (const block of this.queue) rows += block.rows;
    return rows;
  }

  /** Whether there is something that a new block would say. */
  get hasNews(): boolean {
    return (this.#active !== null && this.#active.rows > 0) || this.#droppedSinceBlock > 0;
  }

  add(prediction: LoggedPrediction): void {
    const { rows, features } = prediction;
    this.added += rows;
    if (this.#closed || rows > MAX_ROWS) return this.#drop(rows);
    if (this.#featureAt.length > 0 && features.length !== rows * this.#schema.width) {
      this.#host.misshapen(this.endpoint);
      return this.#drop(rows);
    }
    let from = 0;
    while (from < rows) {
      if (this.#active === null) {
        this.#active = this.#host.pool.take();
        if (this.#active === null) return this.#drop(rows - from);
        this.#host.wake();
      }
      const buffer = this.#active;
      if (!this.#enter(buffer, prediction)) {
        if (buffer.rows === 0) {
          // Not even an empty block has room for these texts.
          buffer.clear();
          return this.#drop(rows - from);
        }
        this.#seal(buffer, 0);
        continue;
      }
      const count = Math.min(this.#capacity - buffer.rows, rows - from);
      this.#fill(buffer, prediction, from, count);
      from += count;
      if (buffer.rows === this.#capacity) this.#seal(buffer, 0);
    }
  }

  /** Ends the present block; one without rows is made when only losses are to be told. */
  seal(nowMs: number): void {
    if (!this.hasNews) return;
    this.#active ??= this.#host.pool.take();
    if (this.#active !== null) this.#seal(this.#active, nowMs);
  }

  /** Takes no more rows. */
  close(): void {
    this.#closed = true;
  }

  /** Gives up what is in memory, and counts it as lost. @returns how many rows these were */
  abandon(): number {
    const rows = this.waiting;
    this.queue.length = 0;
    this.#active = null;
    this.dropped += rows;
    return rows;
  }

  #drop(rows: number): void {
    this.dropped += rows;
    this.#droppedSinceBlock += rows;
    this.#host.wake();
  }

  /** Finds the texts' places in the dictionaries, and writes the id of the next row. @returns false without room */
  #enter(buffer: BlockBuffer, { predictionId, arm, version, experiment }: LoggedPrediction): boolean {
    this.#arm = placeOf(buffer, buffer.arms, arm, MAX_ENTRIES);
    this.#version = placeOf(buffer, buffer.versions, version, MAX_ENTRIES);
    this.#experiment =
      experiment === null ? NONE.dict8 : placeOf(buffer, buffer.experiments, experiment, MAX_ENTRIES);
    if (this.#arm < 0 || this.#version < 0 || this.#experiment < 0) return false;
    const at = (this.#offsets[ID] as number) + buffer.rows * WIDTHS.id;
    if (writeUuid(predictionId, buffer.bytes, at)) return true;
    const place = placeOf(buffer, buffer.ids, predictionId, Infinity);
    if (place < 0) return false;
    buffer.bytes.fill(0, at, at + 12);
    buffer.u32[at / 4 + 3] = place;
    return true;
  }

  #fill(buffer: BlockBuffer, prediction: LoggedPrediction, from: number, count: number): void {
    const { atMs, generation, experiment, propensity, output, rows } = prediction;
    const offsets = this.#offsets;
    const first = buffer.rows;
    const outcome = OUTCOMES.indexOf(prediction.outcome);
    const micros = Math.min(Math.max(prediction.latencyMs * 1000, 0), MAX_MICROS);
    const idAt = (offsets[ID] as number) + first * WIDTHS.id;
    for (let i = 0; i < count; i += 1) {
      const row = first + i;
      if (i > 0) buffer.bytes.copyWithin(idAt + i * WIDTHS.id, idAt, idAt + WIDTHS.id);
      buffer.u16[(offsets[ROW] as number) / 2 + row] = rows === 1 ? NONE.u16 : from + i;
      buffer.f64[(offsets[AT] as number) / 8 + row] = atMs;
      buffer.u32[(offsets[GENERATION] as number) / 4 + row] = generation;
      buffer.bytes[(offsets[ARM] as number) + row] = this.#arm;
      buffer.bytes[(offsets[VERSION] as number) + row] = this.#version;
      buffer.bytes[(offsets[EXPERIMENT] as number) + row] = this.#experiment;
      buffer.f32[(offsets[PROPENSITY] as number) / 4 + row] = experiment === null ? Number.NaN : propensity;
      buffer.bytes[(offsets[OUTCOME] as number) + row] = outcome;
      buffer.i64[(offsets[DECISION] as number) / 8 + row] =
        output === null ? NONE.i64 : (output.labels[from + i] as bigint);
      buffer.f32[(offsets[SCORE] as number) / 4 + row] =
        output === null ? Number.NaN : (output.scores[from + i] as number);
      buffer.u32[(offsets[LATENCY] as number) / 4 + row] = micros;
    }
    this.#fillFeatures(buffer, prediction.features, from, count);
    this.#fillStatuses(buffer, prediction.statuses, from, count);
    if (atMs < buffer.firstAtMs) buffer.firstAtMs = atMs;
    if (atMs > buffer.lastAtMs) buffer.lastAtMs = atMs;
    buffer.rows += count;
  }

  #fillFeatures(buffer: BlockBuffer, features: Float32Array, from: number, count: number): void {
    const { width } = this.#schema;
    const at = this.#featureAt;
    const columns = this.#featureColumn;
    const target = buffer.f32;
    for (let i = 0; i < count; i += 1) {
      const source = (from + i) * width;
      const row = buffer.rows + i;
      for (let f = 0; f < at.length; f += 1) {
        target[(at[f] as number) + row] = features[source + (columns[f] as number)] as number;
      }
    }
  }

  #fillStatuses(buffer: BlockBuffer, statuses: Uint8Array | null, from: number, count: number): void {
    const { statusWidth } = this.#schema;
    const at = this.#statusAt;
    const columns = this.#statusColumn;
    for (let i = 0; i < count; i += 1) {
      const source = (from + i) * statusWidth;
      const row = buffer.rows + i;
      for (let f = 0; f < at.length; f += 1) {
        buffer.bytes[(at[f] as number) + row] =
          statuses === null ? PRESENT : (statuses[source + (columns[f] as number)] as number);
      }
    }
  }

  #seal(buffer: BlockBuffer, nowMs: number): void {
    const { rows } = buffer;
    const end = this.#pack(buffer);
    const dictionaries = {
      prediction_id: buffer.ids,
      arm: buffer.arms,
      version: buffer.versions,
      experiment: buffer.experiments,
    };
    const dropped = Math.min(this.#droppedSinceBlock, 0xffff_ffff);
    const bytes = sealBlock(buffer.bytes, end, dictionaries, {
      rows,
      firstAtMs: rows === 0 ? nowMs : buffer.firstAtMs,
      lastAtMs: rows === 0 ? nowMs : buffer.lastAtMs,
      number: this.#numbers.next,
      dropped,
    });
    this.#numbers.next += 1;
    this.#droppedSinceBlock -= dropped;
    this.#active = null;
    this.queue.push({ buffer, bytes, rows });
    this.#host.sealed();
  }

  /** Moves the columns of a block that is not full together. What was in the gaps belongs to others: it is zeroed. */
  #pack(buffer: BlockBuffer): number {
    let to = BLOCK_HEADER_BYTES;
    for (const [index, { type }] of this.columns.entries()) {
      const length = buffer.rows * WIDTHS[type];
      const from = this.#offsets[index] as number;
      if (to !== from) buffer.bytes.copyWithin(to, from, from + length);
      const end = to + align(length);
      if (end > to + length) buffer.bytes.fill(0, to + length, end);
      to = end;
    }
    return to;
  }
}

/** A multiple of 8, so that every column begins at one. */
function capacityOf(columns: readonly SegmentColumn[]): number {
  const width = columns.reduce((sum, { type }) => sum + WIDTHS[type], 0);
  const rows = Math.floor((BLOCK_BUFFER_BYTES - BLOCK_HEADER_BYTES - DICTIONARY_BYTES) / width / 8) * 8;
  return Math.min(rows, MAX_ROWS - (MAX_ROWS % 8));
}

/** Few texts are the same for thousands of rows: a walk over them is quicker than a map. @returns -1 without room */
function placeOf(buffer: BlockBuffer, entries: string[], text: string, maxEntries: number): number {
  const last = entries.length - 1;
  for (let i = last; i >= 0; i -= 1) if (entries[i] === text) return i;
  if (entries.length >= maxEntries) return -1;
  const bytes = Buffer.byteLength(JSON.stringify(text), 'utf8') + 1;
  if (EMPTY_DICTIONARIES + buffer.dictionaryBytes + bytes > DICTIONARY_BYTES) return -1;
  buffer.dictionaryBytes += bytes;
  entries.push(text);
  return last + 1;
}

/** The memory of one block, used again and again for any endpoint; a fixed number of them bounds the log's memory. */

export const BLOCK_BUFFER_BYTES = 64 * 1024;

export class BlockBuffer {
  readonly bytes = Buffer.alloc(BLOCK_BUFFER_BYTES);
  readonly u16 = new Uint16Array(this.bytes.buffer);
  readonly u32 = new Uint32Array(this.bytes.buffer);
  readonly f32 = new Float32Array(this.bytes.buffer);
  readonly f64 = new Float64Array(this.bytes.buffer);
  readonly i64 = new BigInt64Array(this.bytes.buffer);
  rows = 0;
  firstAtMs = Infinity;
  lastAtMs = -Infinity;
  readonly ids: string[] = [];
  readonly arms: string[] = [];
  readonly versions: string[] = [];
  readonly experiments: string[] = [];
  /** What the dictionaries take at most once they are written. */
  dictionaryBytes = 0;

  clear(): void {
    this.rows = 0;
    this.firstAtMs = Infinity;
    this.lastAtMs = -Infinity;
    this.ids.length = 0;
    this.arms.length = 0;
    this.versions.length = 0;
    this.experiments.length = 0;
    this.dictionaryBytes = 0;
  }
}

export class BlockBufferPool {
  readonly #limit: number;
  readonly #free: BlockBuffer[] = [];
  #made = 0;

  constructor(memoryBytes: number) {
    this.#limit = Math.max(1, Math.floor(memoryBytes / BLOCK_BUFFER_BYTES));
  }

  /** @returns null when all of them hold rows that are not written yet. */
  take(): BlockBuffer | null {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#made >= this.#limit) return null;
    this.#made += 1;
    return new BlockBuffer();
  }

  give(buffer: BlockBuffer): void {
    buffer.clear();
    this.#free.push(buffer);
  }
}

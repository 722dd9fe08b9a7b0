/**
 * Stores evidence: windows of counts and prediction rows, each second, in one sequence per process start.
 *
 * One flush is under way at a time. Once it was tried its content is frozen, because a lost connection leaves it open
 * whether it was stored; the same sequence number again is then a no-op. What happens meanwhile adds up in the
 * tallies, so a database that is away costs wider windows, not memory; prediction rows are bounded and lost first.
 */
import { SlipwayError } from '../domain/errors.ts';
import type { ArmWindow, GatewayFlush } from '../domain/rollout/arm-window.ts';
import type { Guard } from './guard.ts';
import { explain } from './log.ts';
import type { GatewayLog } from './log.ts';
import type { GatewayMetrics } from './metrics.ts';
import type { EvidenceSink } from './ports.ts';
import type { PredictionLog } from './prediction-log.ts';
import { within } from './within.ts';

export interface FlusherOptions {
  readonly gatewayId: string;
  readonly bootId: string;
  readonly sink: EvidenceSink;
  readonly predictions: PredictionLog;
  readonly guard: Guard;
  /** Takes the windows of all endpoints since the last call. */
  readonly cut: () => ArmWindow[];
  readonly intervalMs: number;
  readonly metrics: GatewayMetrics;
  readonly log: GatewayLog;
}

/** Rows of one statement. */
const ROWS_PER_FLUSH = 5000;

export class Flusher {
  readonly #options: FlusherOptions;
  #timer: NodeJS.Timeout | null = null;
  #seq = 0;
  #frozen: GatewayFlush | null = null;
  #running: Promise<boolean> | null = null;
  #reachable: boolean | null = null;

  constructor(options: FlusherOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => void this.flush(), this.#options.intervalMs);
  }

  /** Stores everything up to now. @returns false when the sink does not answer; what was not stored is kept. */
  flush(): Promise<boolean> {
    this.#running ??= this.#flush().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  /** The last flush; gives up after `timeoutMs`, so that a database that hangs cannot hold up the stop. */
  async close(timeoutMs: number): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    let stored = false;
    const end = async (): Promise<void> => {
      // The one under way began before the last answers.
      await this.#running;
      stored = await this.flush();
    };
    await within(end(), timeoutMs);
    const rows = this.#options.predictions.size + (this.#frozen?.predictions.length ?? 0);
    if (!stored) this.#options.log.error({ rows }, 'evidence of the last moments could not be stored');
  }

  async #flush(): Promise<boolean> {
    const { predictions, guard, metrics } = this.#options;
    const delivered = await guard.deliver();
    const dropped = predictions.takeDropped();
    if (dropped > 0) metrics.predictionsDropped(dropped);
    if (!(await this.#store())) return false;
    do {
      this.#frozen = this.#next();
      if (!(await this.#store())) return false;
    } while (predictions.size >= ROWS_PER_FLUSH);
    return delivered;
  }

  /** Null when there is nothing to say: no route is in force yet. */
  #next(): GatewayFlush | null {
    const { gatewayId, bootId, cut, predictions } = this.#options;
    const windows = cut();
    const rows = predictions.take(ROWS_PER_FLUSH);
    if (windows.length === 0 && rows.length === 0) return null;
    this.#seq += 1;
    return { gatewayId, bootId, seq: this.#seq, windows, predictions: rows };
  }

  async #store(): Promise<boolean> {
    const { sink } = this.#options;
    for (let flush = this.#frozen; flush !== null; flush = this.#frozen) {
      try {
        await sink.flush(flush);
        this.#frozen = null;
        this.#reached(true, null);
      } catch (error) {
        this.#reached(false, error);
        if (!(error instanceof SlipwayError) || error.retryable) return false;
        this.#frozen = this.#without(flush);
      }
    }
    return true;
  }

  /**
   * What is left of a flush that was refused for what it holds, and so certainly not stored: first without its rows,
   * then nothing. One bad row would otherwise stop all evidence for good.
   */
  #without(flush: GatewayFlush): GatewayFlush | null {
    const { log, metrics } = this.#options;
    const rows = flush.predictions.length;
    const windows = rows > 0 ? 0 : flush.windows.length;
    if (rows > 0) metrics.predictionsDropped(rows);
    log.error({ seq: flush.seq, rows, windows }, 'evidence was refused and is lost');
    return rows > 0 ? { ...flush, predictions: [] } : null;
  }

  #reached(reachable: boolean, error: unknown): void {
    if (this.#reachable === reachable) return;
    this.#reachable = reachable;
    const { log, metrics } = this.#options;
    metrics.controlPlane('sink', reachable);
    if (!reachable)
      log.warn({ reason: explain(error) }, 'evidence cannot be stored; it is kept and tried again');
  }
}

/**
 * Runs copies of the champion's requests on a shadow candidate, after the answer has been written: one at a time, from
 * a bounded queue that loses its oldest entry when it is full. Nothing that happens here reaches a caller.
 */
import type { Clock } from '../platform/clock.ts';
import { count } from './arm-tally.ts';
import type { Guard } from './guard.ts';
import { explain } from './log.ts';
import type { GatewayLog } from './log.ts';
import type { GatewayMetrics, Outcome } from './metrics.ts';
import { isValidOutput } from './models/model-session.ts';
import type { ModelOutput } from './models/model-session.ts';
import type { EndpointSpec } from './ports.ts';
import type { PredictionLog } from './prediction-log.ts';
import { isExposed } from './routing/serving-route.ts';
import type { Exposure, ServingArm } from './routing/serving-route.ts';

export interface MirrorJob {
  readonly spec: EndpointSpec;
  readonly arm: ServingArm;
  readonly exposure: Exposure;
  readonly features: Float32Array;
  readonly rows: number;
  /** What the champion answered; null when it failed. */
  readonly scores: Float32Array | null;
  /** What the request cost besides the champion's run, so that both arms' latencies mean the same. */
  readonly overheadMs: number;
  readonly predictionId: string;
}

export interface ShadowOptions {
  readonly clock: Clock;
  readonly guard: Guard;
  readonly predictions: PredictionLog;
  readonly metrics: GatewayMetrics;
  readonly log: GatewayLog;
}

const MAX_WAITING = 256;

export class Shadow {
  readonly #options: ShadowOptions;
  readonly #waiting: MirrorJob[] = [];
  #draining = false;
  #closed = false;

  constructor(options: ShadowOptions) {
    this.#options = options;
  }

  /** Takes a copy; returns at once. */
  offer(job: MirrorJob): void {
    if (this.#closed) return;
    if (this.#waiting.length >= MAX_WAITING) {
      const oldest = this.#waiting.shift();
      if (oldest !== undefined) this.#options.metrics.shadowDropped(oldest.spec.endpoint);
    }
    this.#waiting.push(job);
    if (!this.#draining) void this.#drain();
  }

  close(): void {
    this.#closed = true;
    this.#waiting.length = 0;
  }

  async #drain(): Promise<void> {
    this.#draining = true;
    for (;;) {
      // After the I/O of this turn of the event loop: answers leave and requests come in between two copies.
      await new Promise((resolve) => setImmediate(resolve));
      const job = this.#waiting.shift();
      if (job === undefined) break;
      // The lease may have ended, or the breaker tripped, since the copy was made.
      if (isExposed(job.exposure, this.#options.clock.monotonic())) await this.#run(job);
    }
    this.#draining = false;
  }

  async #run(job: MirrorJob): Promise<void> {
    const { clock, guard, metrics, log } = this.#options;
    const { spec, arm, rows } = job;
    const { tally, version } = arm;
    const started = clock.monotonic();
    let output: ModelOutput | null = null;
    let outcome: Outcome = 'ok';
    try {
      output = await arm.session.run(job.features, rows);
      if (!isValidOutput(output, rows)) outcome = 'invalid';
    } catch (error) {
      outcome = 'error';
      log.warn(
        { endpoint: spec.endpoint, version, arm: 'shadow', reason: explain(error) },
        'a model run failed',
      );
    }
    const ms = clock.monotonic() - started + job.overheadMs;
    const answer = outcome === 'ok' ? output : null;
    count(tally, outcome, ms, spec.latencySloMs);
    if (answer !== null && job.scores !== null) {
      tally.pairs += 1;
      if (largestDifference(answer.scores, job.scores) > spec.scoreTolerance) tally.diverged += 1;
    }
    metrics.prediction(spec.endpoint, version, 'shadow', outcome, ms);
    guard.record(tally, job.exposure.breaker, outcome !== 'ok');
    this.#options.predictions.add(
      {
        predictionId: job.predictionId,
        endpoint: spec.endpoint,
        generation: tally.generation,
        arm: 'shadow',
        version,
        atMs: clock.now(),
      },
      rows,
      answer,
    );
  }
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  let largest = 0;
  for (let row = 0; row < a.length; row += 1) {
    largest = Math.max(largest, Math.abs((a[row] as number) - (b[row] as number)));
  }
  return largest;
}

/**
 * Runs copies of the champion's requests on a shadow candidate, after the answer has been written: one at a time, from
 * a bounded queue that loses its oldest entry when it is full, and all of them when the gateway is short of time.
 * Nothing that happens here reaches a caller.
 */
import type { Clock } from '../platform/clock.ts';
import { count } from './arm-tally.ts';
import type { Guard } from './guard.ts';
import { explain } from './log.ts';
import type { GatewayLog } from './log.ts';
import type { GatewayMetrics, Outcome } from './metrics.ts';
import { isValidOutput } from './models/model-session.ts';
import type { ModelOutput } from './models/model-session.ts';
import { isNoFaultOfModel } from './models/run-failure.ts';
import { NoiseFloor, largestDifference, repeated } from './noise-floor.ts';
import type { EndpointSpec } from './ports.ts';
import type { PredictionLog } from './prediction-log.ts';
import { isExposed } from './routing/serving-route.ts';
import type { Exposure, ServingArm } from './routing/serving-route.ts';

export interface MirrorJob {
  readonly spec: EndpointSpec;
  readonly arm: ServingArm;
  readonly champion: ServingArm;
  readonly exposure: Exposure;
  readonly features: Float32Array;
  readonly rows: number;
  /** What the champion answered; null when it failed. */
  readonly answer: ModelOutput | null;
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
  /** Whether live requests need all there is: then copies are dropped before any caller is. */
  readonly underPressure: () => boolean;
}

const MAX_WAITING = 256;
/** One copy in so many is also used to measure the champion against itself, in a batch of this many times its rows. */
const NOISE_EVERY = 20;
const NOISE_BATCH = 8;

export class Shadow {
  readonly #options: ShadowOptions;
  readonly #waiting: MirrorJob[] = [];
  /** By version: a new champion has a floor of its own. */
  readonly #noise = new WeakMap<ServingArm['session'], NoiseFloor>();
  #draining = false;
  #closed = false;
  #copies = 0;

  constructor(options: ShadowOptions) {
    this.#options = options;
  }

  /** Takes a copy; returns at once. */
  offer(job: MirrorJob): void {
    if (this.#closed) return;
    const { metrics, underPressure } = this.#options;
    if (underPressure()) {
      for (const { spec } of this.#waiting.splice(0)) metrics.shadowDropped(spec.endpoint, 'pressure');
      metrics.shadowDropped(job.spec.endpoint, 'pressure');
      return;
    }
    if (this.#waiting.length >= MAX_WAITING) {
      const oldest = this.#waiting.shift();
      if (oldest !== undefined) metrics.shadowDropped(oldest.spec.endpoint, 'full');
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
      if (!isExposed(job.exposure, this.#options.clock.monotonic())) continue;
      this.#copies += 1;
      if (this.#copies % NOISE_EVERY === 1) await this.#measureNoise(job);
      await this.#run(job);
    }
    this.#draining = false;
  }

  /** The champion once more on the rows that it has answered, in a larger batch. */
  async #measureNoise({ champion, features, rows, answer, spec }: MirrorJob): Promise<void> {
    if (answer === null) return;
    try {
      const again = await champion.session.run(repeated(features, NOISE_BATCH), rows * NOISE_BATCH);
      const difference = largestDifference(answer.scores, again.scores);
      this.#noiseOf(champion).add(difference);
      this.#options.metrics.shadowNoise(spec.endpoint, difference);
    } catch (error) {
      // Without a new measurement the floor stays what it was, which is the strict side.
      const { version } = champion;
      this.#options.log.warn(
        { endpoint: spec.endpoint, version, reason: explain(error) },
        'the noise floor could not be measured',
      );
    }
  }

  #noiseOf({ session }: ServingArm): NoiseFloor {
    let noise = this.#noise.get(session);
    if (noise === undefined) this.#noise.set(session, (noise = new NoiseFloor()));
    return noise;
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
      // It never reached the model: no evidence against it.
      if (isNoFaultOfModel(error)) return;
      outcome = 'error';
      log.warn(
        { endpoint: spec.endpoint, version, arm: 'shadow', reason: explain(error) },
        'a model run failed',
      );
    }
    const ms = clock.monotonic() - started + job.overheadMs;
    const answer = outcome === 'ok' ? output : null;
    count(tally, outcome, ms, spec.latencySloMs);
    if (answer !== null && job.answer !== null) this.#compare(job, job.answer, answer);
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

  #compare({ arm, champion, spec }: MirrorJob, served: ModelOutput, shadowed: ModelOutput): void {
    const difference = largestDifference(shadowed.scores, served.scores);
    arm.tally.pairs += 1;
    if (difference > Math.max(spec.scoreTolerance, this.#noiseOf(champion).value)) arm.tally.diverged += 1;
    const flipped = served.labels.some((label, row) => label !== shadowed.labels[row]);
    this.#options.metrics.shadowPair(spec.endpoint, arm.version, difference, flipped);
  }
}

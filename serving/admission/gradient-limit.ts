/**
 * How many requests may be under way, learned from how their latency moves (Gradient2 of Netflix's
 * concurrency-limits, with Envoy's √limit as the room to grow).
 *
 * A sample is latency over the latency that the work ahead of the request explains. So a larger batch or a fuller turn
 * of the event loop, which raise latency and throughput alike, leave it at 1, and it rises only with what nobody has
 * explained: a neighbour on the core, a backend that slows down, memory pressure.
 */
export interface GradientLimitOptions {
  readonly initial: number;
  readonly min: number;
  readonly max: number;
  /** Latency may be this much above its long average before the limit falls. */
  readonly tolerance: number;
  /** Weight of a window's new limit. */
  readonly smoothing: number;
  readonly minSamples: number;
}

export const DEFAULT_GRADIENT: GradientLimitOptions = {
  initial: 128,
  min: 4,
  max: 512,
  tolerance: 1.5,
  smoothing: 0.2,
  minSamples: 10,
};

/** Windows that the long average looks back on: a minute of them. */
const LONG_WINDOWS = 600;
const WARM_UP = 10;

export class GradientLimit {
  readonly #options: GradientLimitOptions;
  #limit: number;
  #long = 0;
  #windows = 0;
  #sum = 0;
  #samples = 0;
  #peak = 0;

  constructor(options: GradientLimitOptions = DEFAULT_GRADIENT) {
    this.#options = options;
    this.#limit = options.initial;
  }

  get limit(): number {
    return this.#limit;
  }

  /** @param ratio latency over expected latency. @param inFlight with this request. */
  sample(ratio: number, inFlight: number): void {
    this.#sum += ratio;
    this.#samples += 1;
    if (inFlight > this.#peak) this.#peak = inFlight;
  }

  /** At the end of a window; one with too few samples goes on into the next. */
  update(): void {
    const { min, max, tolerance, smoothing, minSamples } = this.#options;
    if (this.#samples < minSamples) return;
    const short = this.#sum / this.#samples;
    const peak = this.#peak;
    this.#sum = 0;
    this.#samples = 0;
    this.#peak = 0;
    this.#windows += 1;
    // A plain mean at first, so that one slow first window does not stand for a minute.
    const weight = this.#windows <= WARM_UP ? 1 / this.#windows : 2 / (LONG_WINDOWS + 1);
    this.#long += (short - this.#long) * weight;
    // After a long overload the average is far too high, and would excuse the next one.
    if (this.#long > 2 * short) this.#long *= 0.95;
    // Nobody has tried the limit, so nothing was learned about it.
    if (peak < this.#limit / 2) return;
    const gradient = Math.max(0.5, Math.min(1, (tolerance * this.#long) / short));
    const wanted = this.#limit * gradient + Math.sqrt(this.#limit);
    this.#limit = Math.max(min, Math.min(max, this.#limit * (1 - smoothing) + wanted * smoothing));
  }
}

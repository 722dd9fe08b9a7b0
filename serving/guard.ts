/**
 * The gateway's own decision to take a candidate out of traffic, and its report. Traffic stops with the request that
 * tripped the breaker; the report is repeated until it is stored, and again for each later generation that would
 * still give the version traffic, because whoever observes that generation has to see it.
 */
import { breakerReason, recordOutcome } from '../domain/rollout/breaker.ts';
import type { Breaker } from '../domain/rollout/breaker.ts';
import type { GuardTrip } from '../domain/rollout/arm-window.ts';
import type { Digest } from '../domain/routing/route.ts';
import type { Clock } from '../platform/clock.ts';
import { explain } from './log.ts';
import type { GatewayLog } from './log.ts';
import type { GatewayMetrics } from './metrics.ts';
import type { EvidenceSink } from './ports.ts';

export interface GuardedArm {
  readonly endpoint: string;
  readonly generation: number;
  readonly version: Digest;
}

export interface GuardOptions {
  readonly gatewayId: string;
  readonly sink: EvidenceSink;
  readonly clock: Clock;
  readonly metrics: GatewayMetrics;
  readonly log: GatewayLog;
}

/** Trips that are remembered as reported; far more than releases that a gateway sees between two restarts. */
const REMEMBERED = 1000;

export class Guard {
  readonly #options: GuardOptions;
  readonly #waiting: GuardTrip[] = [];
  readonly #reported = new Set<string>();
  #delivery: Promise<boolean> | null = null;

  constructor(options: GuardOptions) {
    this.#options = options;
  }

  /** Takes one outcome of a candidate's arm. */
  record(arm: GuardedArm, breaker: Breaker, failed: boolean): void {
    if (breaker.tripped === null && recordOutcome(breaker, failed)) this.report(arm, breaker);
  }

  /** Reports a tripped breaker for this generation; again is a no-op. */
  report({ endpoint, generation, version }: GuardedArm, breaker: Breaker): void {
    const { gatewayId, clock, metrics, log } = this.#options;
    const reason = breakerReason(breaker);
    const key = `${endpoint} ${generation} ${version}`;
    if (reason === null || this.#reported.has(key)) return;
    if (this.#reported.size >= REMEMBERED) this.#reported.clear();
    this.#reported.add(key);
    this.#waiting.push({ gatewayId, endpoint, generation, version, reason, atMs: clock.now() });
    metrics.tripped(endpoint, version);
    log.error({ endpoint, generation, version, reason }, 'candidate taken out of traffic');
    void this.deliver();
  }

  /** Stores what waits, in order. @returns false when the sink does not answer; the next call tries again. */
  deliver(): Promise<boolean> {
    this.#delivery ??= this.#deliver().finally(() => {
      this.#delivery = null;
    });
    return this.#delivery;
  }

  async #deliver(): Promise<boolean> {
    for (let trip = this.#waiting[0]; trip !== undefined; trip = this.#waiting[0]) {
      try {
        await this.#options.sink.trip(trip);
      } catch (error) {
        this.#options.log.warn({ reason: explain(error) }, 'a guard trip could not be stored yet');
        return false;
      }
      this.#waiting.shift();
    }
    return true;
  }
}

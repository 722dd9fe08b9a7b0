/** Tells the control plane what is applied: right after a change, and each second as the sign of life. */
import type { Acknowledgement } from '../domain/rollout/arm-window.ts';
import { explain } from './log.ts';
import type { GatewayLog } from './log.ts';
import type { GatewayMetrics } from './metrics.ts';
import type { GatewayRegistry } from './ports.ts';

export interface AcknowledgerOptions {
  readonly gateway: { readonly gatewayId: string; readonly url: string };
  readonly registry: GatewayRegistry;
  readonly state: () => readonly Acknowledgement[];
  readonly intervalMs: number;
  readonly metrics: GatewayMetrics;
  readonly log: GatewayLog;
}

export class Acknowledger {
  readonly #options: AcknowledgerOptions;
  #timer: NodeJS.Timeout | null = null;
  #sent = '';
  #sending: Promise<void> | null = null;
  #again = false;
  #reachable: boolean | null = null;
  #closed = false;

  constructor(options: AcknowledgerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => this.#send(), this.#options.intervalMs);
    this.#send();
  }

  /** Something may have changed. */
  changed(): void {
    if (this.#timer !== null && JSON.stringify(this.#options.state()) !== this.#sent) this.#send();
  }

  /** Takes the gateway off the list, so that nobody waits for it. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    await this.#sending;
    const { registry, gateway, log } = this.#options;
    try {
      await registry.leave(gateway.gatewayId);
    } catch (error) {
      log.warn(
        { reason: explain(error) },
        'the gateway could not sign off; it will be missed after its heartbeat',
      );
    }
  }

  /** One at a time and always the newest state. */
  #send(): void {
    if (this.#closed) return;
    if (this.#sending !== null) {
      this.#again = true;
      return;
    }
    this.#sending = this.#sendNow().finally(() => {
      this.#sending = null;
      if (!this.#again) return;
      this.#again = false;
      this.#send();
    });
  }

  async #sendNow(): Promise<void> {
    const { registry, gateway, state, metrics, log } = this.#options;
    const acks = state();
    let failure: unknown = null;
    try {
      await registry.acknowledge(gateway, acks);
      this.#sent = JSON.stringify(acks);
    } catch (error) {
      failure = error ?? 'unknown';
    }
    const reachable = failure === null;
    if (this.#reachable === reachable) return;
    this.#reachable = reachable;
    metrics.controlPlane('registry', reachable);
    if (!reachable)
      log.warn({ reason: explain(failure) }, 'acknowledgements cannot be stored; trying each second');
  }
}

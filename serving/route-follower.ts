/**
 * Follows the routes: from disk at the start, then whenever the control plane says that something changed, and once a
 * second anyway. When it cannot be reached, everything goes on as it is, but for leases, which run out.
 */
import type { Clock } from '../platform/clock.ts';
import { explain } from './log.ts';
import type { GatewayLog } from './log.ts';
import type { GatewayMetrics } from './metrics.ts';
import type { EndpointState, Revocations, RouteFeed } from './ports.ts';
import { loadRoutes, saveRoutes } from './route-file.ts';
import { ServedEndpoint } from './served-endpoint.ts';
import type { ServedEndpointOptions } from './served-endpoint.ts';

export interface FollowerOptions extends Omit<ServedEndpointOptions, 'onChange'> {
  readonly feed: RouteFeed;
  readonly clock: Clock;
  readonly metrics: GatewayMetrics;
  readonly log: GatewayLog;
  readonly routeFile: string;
  readonly pollMs: number;
  readonly onChange: () => void;
}

export class RouteFollower {
  readonly #options: FollowerOptions;
  readonly #endpoints = new Map<string, ServedEndpoint>();
  #revocations: Revocations = { digests: [], keyIds: [] };
  #knowsRoutes = false;
  #reachable: boolean | null = null;
  #reading = false;
  #readAgain = false;
  #subscription: { close(): Promise<void> } | null = null;
  #subscribing = false;
  #timer: NodeJS.Timeout | null = null;
  #saved = '';
  #saving: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  get endpoints(): ReadonlyMap<string, ServedEndpoint> {
    return this.#endpoints;
  }

  /** Routes are known, from disk or from the control plane, and each endpoint can answer as it should. */
  get ready(): boolean {
    if (!this.#knowsRoutes) return false;
    for (const endpoint of this.#endpoints.values()) if (!endpoint.ready) return false;
    return true;
  }

  /** Starts from disk and begins to follow; does not wait for models or for the control plane. */
  async start(): Promise<void> {
    const { routeFile, pollMs, clock, log } = this.#options;
    try {
      const saved = await loadRoutes(routeFile);
      if (saved !== null) this.#offer(saved.endpoints, saved.revocations, clock.monotonic());
    } catch (error) {
      log.error({ reason: explain(error) }, 'starting without the routes on disk');
    }
    this.#timer = setInterval(() => this.#poll(), pollMs);
    this.#poll();
  }

  /** Waits for threads that load or run a model; the caller bounds it, for one that never ends. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearInterval(this.#timer);
    await this.#subscription?.close();
    await this.#saving;
    await Promise.all([...this.#endpoints.values()].map((endpoint) => endpoint.close()));
  }

  #poll(): void {
    void this.#subscribe();
    void this.#read();
    // Also without the control plane: what was lost or refused is due to be loaded again.
    for (const endpoint of this.#endpoints.values()) endpoint.maintain();
  }

  async #subscribe(): Promise<void> {
    if (this.#subscription !== null || this.#subscribing) return;
    this.#subscribing = true;
    try {
      const subscription = await this.#options.feed.subscribe(() => void this.#read());
      if (this.#closed) await subscription.close();
      else this.#subscription = subscription;
    } catch (error) {
      this.#reached(false, error);
    } finally {
      this.#subscribing = false;
    }
  }

  /** One read at a time, so that an older answer cannot overtake a newer one. */
  async #read(): Promise<void> {
    if (this.#reading) {
      this.#readAgain = true;
      return;
    }
    this.#reading = true;
    try {
      do {
        this.#readAgain = false;
        const readAtMs = this.#options.clock.monotonic();
        const { endpoints, revocations } = await this.#options.feed.read();
        if (this.#closed) return;
        this.#reached(true, null);
        this.#offer(endpoints, revocations, readAtMs);
      } while (this.#readAgain && !this.#closed);
    } catch (error) {
      this.#reached(false, error);
    } finally {
      this.#reading = false;
    }
  }

  #offer(states: readonly EndpointState[], revocations: Revocations, readAtMs: number): void {
    this.#revocations = revocations;
    this.#knowsRoutes = true;
    for (const state of states) {
      const { endpoint: name } = state.route;
      let endpoint = this.#endpoints.get(name);
      if (endpoint === undefined) {
        endpoint = new ServedEndpoint(state, { ...this.#options, onChange: () => this.#changed() });
        this.#endpoints.set(name, endpoint);
      }
      endpoint.offer(state, revocations, readAtMs);
    }
  }

  #changed(): void {
    if (this.#closed) return;
    this.#save();
    this.#options.onChange();
  }

  /** Saves what is served, which is known to work, rather than what was read last. */
  #save(): void {
    const endpoints = [...this.#endpoints.values()].flatMap(({ applied }) => applied ?? []);
    const content = { endpoints, revocations: this.#revocations };
    const identity = JSON.stringify({
      routes: endpoints.map(({ route, spec, versions }) => [route, spec, versions]),
      revocations: this.#revocations,
    });
    if (endpoints.length === 0 || identity === this.#saved) return;
    this.#saved = identity;
    this.#saving = this.#saving
      .then(() => saveRoutes(this.#options.routeFile, content))
      .catch((error: unknown) => {
        this.#saved = '';
        this.#options.log.error({ reason: explain(error) }, 'the routes could not be saved on disk');
      });
  }

  #reached(reachable: boolean, error: unknown): void {
    if (this.#reachable === reachable || this.#closed) return;
    const { log, metrics } = this.#options;
    this.#reachable = reachable;
    metrics.controlPlane('feed', reachable);
    if (reachable) log.info({}, 'following routes');
    else log.warn({ reason: explain(error) }, 'routes cannot be read; serving the last known ones');
  }
}

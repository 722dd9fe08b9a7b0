/** Puts the gateway together over its ports; `gateway.main.ts` gives it the real ones, tests plain objects. */
import { randomUUID } from 'node:crypto';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Clock } from '../platform/clock.ts';
import { Acknowledger } from './acknowledger.ts';
import { Flusher } from './flusher.ts';
import { Guard } from './guard.ts';
import { createHttpServer } from './http/server.ts';
import { createInference } from './inference.ts';
import type { GatewayLog } from './log.ts';
import type { GatewayMetrics } from './metrics.ts';
import { createModelLoader } from './models/load-model.ts';
import type { EvidenceSink, GatewayRegistry, RouteFeed } from './ports.ts';
import { PredictionLog } from './prediction-log.ts';
import { routeFilePath } from './route-file.ts';
import { RouteFollower } from './route-follower.ts';
import { Shadow } from './shadow.ts';
import type { GatewayTracer } from './tracing.ts';
import { within } from './within.ts';

export interface GatewayOptions {
  readonly gatewayId: string;
  /** The gateway keeps its last good routes in a folder of its own in it. */
  readonly stateFolder: string;
  /** Read by the loading threads, not by the event loop. */
  readonly blobRoot: string;
  readonly trustedKeysFolder: string;
  readonly feed: RouteFeed;
  readonly sink: EvidenceSink;
  readonly registry: GatewayRegistry;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly rng: () => number;
  readonly metrics: GatewayMetrics;
  readonly tracer: GatewayTracer;
  readonly log: GatewayLog;
  /** Of this software, for `GET /v2`. */
  readonly version: string;
  readonly settings?: Partial<GatewaySettings>;
}

export interface GatewaySettings {
  readonly pollMs: number;
  readonly flushMs: number;
  readonly acknowledgeMs: number;
  readonly maxBodyBytes: number;
  readonly maxRows: number;
  /** Models dearer than these run in a thread: 45 µs of inline work against 210 µs of a round trip, but no stop. */
  readonly inlineCreateMs: number;
  readonly inlineRunMs: number;
  /** A run in a thread that takes longer has failed. */
  readonly runTimeoutMs: number;
  /** How long the stop waits for answers under way, and for the last evidence. */
  readonly drainMs: number;
}

export const DEFAULT_SETTINGS: GatewaySettings = {
  pollMs: 1000,
  flushMs: 1000,
  acknowledgeMs: 1000,
  maxBodyBytes: 8 * 1024 * 1024,
  maxRows: 4096,
  inlineCreateMs: 20,
  inlineRunMs: 1,
  runTimeoutMs: 2000,
  drainMs: 3000,
};

export interface Gateway {
  /** Starts to answer and to follow routes; does not wait for models, `/v2/health/ready` says when they are there. */
  listen(address: { readonly host: string; readonly port: number; readonly url?: string }): Promise<{
    readonly port: number;
    readonly url: string;
  }>;
  isReady(): boolean;
  /** Takes no more requests, ends those under way, stores the last evidence, signs off. */
  close(): Promise<void>;
}

export function createGateway(options: GatewayOptions): Gateway {
  const settings: GatewaySettings = { ...DEFAULT_SETTINGS, ...options.settings };
  const { gatewayId, stateFolder, clock, rng, metrics, tracer, log, sink, registry, version } = options;
  const guard = new Guard({ gatewayId, sink, clock, metrics, log });
  const predictions = new PredictionLog();
  const shadow = new Shadow({ clock, guard, predictions, metrics, log });
  const { blobRoot, trustedKeysFolder } = options;
  const { inlineCreateMs, inlineRunMs, runTimeoutMs } = settings;
  const limits = { inlineCreateMs, inlineRunMs };
  let acknowledger: Acknowledger | null = null;
  const follower = new RouteFollower({
    feed: options.feed,
    gatewayId,
    load: createModelLoader({ blobRoot, trustedKeysFolder, limits, runTimeoutMs, clock }),
    routeFile: routeFilePath(stateFolder, gatewayId),
    pollMs: settings.pollMs,
    maxRows: settings.maxRows,
    guard,
    clock,
    metrics,
    log,
    onChange: () => acknowledger?.changed(),
  });
  const { endpoints } = follower;
  const flusher = new Flusher({
    gatewayId,
    bootId: randomUUID(),
    sink,
    predictions,
    guard,
    cut: () => [...endpoints.values()].flatMap(({ tallies }) => tallies.cut(clock.now())),
    intervalMs: settings.flushMs,
    metrics,
    log,
  });
  const server = createHttpServer({
    endpoints,
    isReady: () => follower.ready,
    infer: createInference({ clock, rng, newId: randomUUID, guard, predictions, metrics, log }),
    shadow,
    maxBodyBytes: settings.maxBodyBytes,
    version,
    clock,
    metrics,
    tracer,
    log,
  });

  return {
    async listen({ host, port, url }) {
      const bound = await bind(server, host, port);
      const gateway = { gatewayId, url: url ?? `http://${host}:${bound}` };
      const state = () => [...endpoints.values()].map((endpoint) => endpoint.acknowledgement());
      acknowledger = new Acknowledger({
        gateway,
        registry,
        state,
        intervalMs: settings.acknowledgeMs,
        metrics,
        log,
      });
      await follower.start();
      acknowledger.start();
      flusher.start();
      return { port: bound, url: gateway.url };
    },
    isReady: () => follower.ready,
    async close() {
      // Nobody should wait for this gateway any more, and no new route should reach it, while it drains.
      await acknowledger?.close();
      await drain(server, settings.drainMs);
      shadow.close();
      await flusher.close(settings.drainMs);
      if (!(await within(follower.close(), settings.drainMs))) {
        log.error({}, 'a model is still loading or running in its thread; leaving all the same');
      }
    },
  };
}

function bind(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

async function drain(server: Server, timeoutMs: number): Promise<void> {
  if (!server.listening) return;
  const deadline = setTimeout(() => server.closeAllConnections(), timeoutMs);
  // A connection whose last answer was under way at the close becomes idle later.
  const sweep = setInterval(() => server.closeIdleConnections(), 20);
  await new Promise((resolve) => {
    server.close(resolve);
  });
  clearInterval(sweep);
  clearTimeout(deadline);
}

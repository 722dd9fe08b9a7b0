/** Puts the gateway together over its ports; `gateway.main.ts` gives it the real ones, tests plain objects. */
import { randomUUID } from 'node:crypto';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../platform/clock.ts';
import { Acknowledger } from './acknowledger.ts';
import { Admission, BackPressure } from './admission/index.ts';
import type { AdmissionSettings, LoopProbe } from './admission/index.ts';
import { AnswerRecorder } from './answer-recorder.ts';
import { FEATURE_SETTINGS, OnlineFeatures } from './features/index.ts';
import type { FeatureSettings, OnlineStore } from './features/index.ts';
import { traceBatches } from './batching/trace-batches.ts';
import { Flusher } from './flusher.ts';
import { Guard } from './guard.ts';
import { drain } from './http/drain.ts';
import { createHttpServer } from './http/server.ts';
import { createInference } from './inference.ts';
import type { GatewayLog } from './log.ts';
import type { GatewayMetrics } from './metrics.ts';
import { createModelLoader } from './models/load-model.ts';
import type { LoadModel } from './models/load-model.ts';
import type { RemoteSettings } from './models/load-remote.ts';
import type { EvidenceSink, GatewayRegistry, RouteFeed } from './ports.ts';
import { SegmentLog } from './prediction-log/index.ts';
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
  readonly admission?: Partial<AdmissionSettings>;
  /** Closed with the gateway. */
  readonly loopProbe: LoopProbe;
  readonly tracer: GatewayTracer;
  readonly log: GatewayLog;
  /** Where online features are; absent, an endpoint that needs them refuses its requests. */
  readonly onlineStore?: OnlineStore;
  readonly features?: Partial<FeatureSettings>;
  /** The prediction log on disk; absent, none is kept. */
  readonly predictionLog?: { readonly folder: string; readonly maxBytes: number };
  /** Whether callers may load and unload models (V2 repository extension). */
  readonly modelControl?: boolean;
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
  /** A run in a thread or in another server that takes longer has failed. */
  readonly runTimeoutMs: number;
  /** For versions that run in another server; what is left out has its default. */
  readonly remote: Partial<RemoteSettings>;
  /** How long the stop waits for answers under way, and for the last evidence. */
  readonly drainMs: number;
  /** How long the stop leaves connections open that seem idle, for callers who have somewhere else to go. */
  readonly quietMs: number;
}

export const DEFAULT_SETTINGS: GatewaySettings = {
  pollMs: 1000,
  flushMs: 1000,
  acknowledgeMs: 1000,
  maxBodyBytes: 8 * 1024 * 1024,
  maxRows: 4096,
  inlineCreateMs: 5,
  inlineRunMs: 0.3,
  runTimeoutMs: 2000,
  remote: {},
  drainMs: 3000,
  quietMs: 0,
};

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
  readonly url?: string;
  /** Follow routes first and accept connections only when each endpoint has a champion. */
  readonly whenReady?: boolean;
}

const READY_POLL_MS = 20;

export interface Gateway {
  /** Starts to answer and to follow routes; does not wait for models, `/v2/health/ready` says when they are there. */
  listen(address: ListenAddress): Promise<{ readonly port: number; readonly url: string }>;
  /** For whoever watches its connections from outside. */
  readonly server: Server;
  isReady(): boolean;
  /** Takes no more requests, ends those under way, stores the last evidence, signs off. */
  close(): Promise<void>;
}

export function createGateway(options: GatewayOptions): Gateway {
  const settings: GatewaySettings = { ...DEFAULT_SETTINGS, ...options.settings };
  const { gatewayId, registry, metrics, log } = options;
  let acknowledger: Acknowledger | null = null;
  const stopping = new AbortController();
  const parts = assemble(options, settings, () => acknowledger?.changed());
  const { server, follower, admission, backPressure, flusher, features, segments, shadow } = parts;
  const { endpoints } = follower;

  return {
    server,
    async listen({ host, port, url, whenReady = false }) {
      // A port of 0 is known only once it is bound; who listens later has a port that others listen on already.
      const bound = whenReady ? port : await bind(server, host, port);
      const gateway = { gatewayId, url: url ?? `http://${host}:${bound}` };
      const state = () => [...endpoints.values()].map((endpoint) => endpoint.acknowledgement());
      const { acknowledgeMs: intervalMs } = settings;
      acknowledger = new Acknowledger({ gateway, registry, state, intervalMs, metrics, log });
      await follower.start();
      acknowledger.start();
      admission.start();
      flusher.start();
      features?.start();
      if (whenReady && (await untilReady(follower, stopping.signal))) await bind(server, host, port);
      return { port: bound, url: gateway.url };
    },
    isReady: () => follower.ready,
    async close() {
      stopping.abort();
      const drained = drain(server, { quietMs: settings.quietMs, timeoutMs: settings.drainMs });
      // Nobody should wait for this gateway any more, and no new route should reach it, while it drains.
      await acknowledger?.close();
      await drained;
      shadow.close();
      backPressure.close();
      admission.close();
      await flusher.close(settings.drainMs);
      await segments?.close(settings.drainMs);
      if (features !== null && !(await within(features.close(), settings.drainMs))) {
        log.warn({}, 'the online store did not answer; which keys are hot is not kept');
      }
      if (!(await within(follower.close(), settings.drainMs))) {
        log.error({}, 'a model is still loading or running in its thread; leaving all the same');
      }
    },
  };
}

interface Parts extends OptionalParts {
  readonly server: Server;
  readonly follower: RouteFollower;
  readonly admission: Admission;
  readonly backPressure: BackPressure;
  readonly flusher: Flusher;
  readonly shadow: Shadow;
}

function assemble(options: GatewayOptions, settings: GatewaySettings, onChange: () => void): Parts {
  const { gatewayId, clock, rng, metrics, tracer, log, sink, version } = options;
  const bootId = randomUUID();
  const optional = optionalParts(options, bootId);
  const guard = new Guard({ gatewayId, sink, clock, metrics, log });
  const predictions = new PredictionLog();
  const recorder = new AnswerRecorder({ guard, predictions, metrics, clock });
  const admission = new Admission({
    clock,
    rng,
    probe: options.loopProbe,
    metrics,
    ...(options.admission !== undefined && { settings: options.admission }),
  });
  const backPressure = new BackPressure(admission, () => clock.monotonic());
  const underPressure = (): boolean => admission.underPressure;
  const shadow = new Shadow({ clock, guard, predictions, metrics, log, underPressure });
  const follower = new RouteFollower({
    ...optional,
    feed: options.feed,
    gatewayId,
    load: modelLoader(options, settings),
    routeFile: routeFilePath(options.stateFolder, gatewayId),
    pollMs: settings.pollMs,
    maxRows: settings.maxRows,
    observe: (endpoint, digest) => traceBatches(metrics.batches(endpoint, digest), tracer, endpoint, digest),
    guard,
    clock,
    metrics,
    log,
    onChange,
  });
  const { endpoints } = follower;
  metrics.watch({
    lookups: optional.features?.counters ?? null,
    endpoints: () => [...endpoints.values()].map((endpoint) => endpoint.reading()),
  });
  const flusher = new Flusher({
    gatewayId,
    bootId,
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
    admission,
    backPressure,
    infer: createInference({ clock, rng, newId: randomUUID, recorder, metrics, log }),
    shadow,
    maxBodyBytes: settings.maxBodyBytes,
    modelControl: options.modelControl ?? false,
    version,
    clock,
    metrics,
    tracer,
    log,
  });
  return { ...optional, server, follower, admission, backPressure, flusher, shadow };
}

interface OptionalParts {
  readonly features: OnlineFeatures | null;
  readonly segments: SegmentLog | null;
}

function optionalParts(options: GatewayOptions, bootId: string): OptionalParts {
  const { onlineStore: store, predictionLog, gatewayId, clock, rng, metrics, log } = options;
  const settings = { ...FEATURE_SETTINGS, ...options.features };
  return {
    features: store === undefined ? null : new OnlineFeatures({ store, metrics, log, clock, rng, settings }),
    segments:
      predictionLog === undefined
        ? null
        : new SegmentLog({ ...predictionLog, gatewayId, bootId, clock, metrics, log }),
  };
}

function modelLoader(
  { blobRoot, trustedKeysFolder, clock }: GatewayOptions,
  settings: GatewaySettings,
): LoadModel {
  const { inlineCreateMs, inlineRunMs, runTimeoutMs, remote } = settings;
  const limits = { inlineCreateMs, inlineRunMs };
  return createModelLoader({ blobRoot, trustedKeysFolder, limits, runTimeoutMs, clock, remote });
}

/** @returns false when the gateway was stopped meanwhile. */
async function untilReady(follower: RouteFollower, stopping: AbortSignal): Promise<boolean> {
  while (!follower.ready && !stopping.aborted) await delay(READY_POLL_MS);
  return !stopping.aborted;
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

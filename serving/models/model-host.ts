/**
 * The versions of one endpoint that this gateway holds, wants or refused. A version that is loaded stays loaded until
 * it is neither wanted by the route nor standing by; a refused one is tried again while it is wanted, because a
 * missing file may arrive and a gateway without a champion is worth a few reads.
 *
 * A champion runs where it costs least, by what its batches were learned to cost: on the event loop while a typical
 * one is shorter than the way to a thread and back, else in threads. It moves with hysteresis (down at twice the cost
 * that it comes up at, seen twice, and not again for a minute); all others stay in threads of their own.
 */
import { SlipwayError } from '../../domain/errors.ts';
import type { ErrorCode } from '../../domain/errors.ts';
import type { VersionDescriptor } from '../../domain/registry/index.ts';
import type { VersionState } from '../../domain/rollout/arm-window.ts';
import type { Digest } from '../../domain/routing/route.ts';
import type { BackendSpec } from '../../domain/manifest/serving-spec.ts';
import type { Clock } from '../../platform/clock.ts';
import { explain } from '../log.ts';
import type { GatewayLog } from '../log.ts';
import type { GatewayMetrics } from '../metrics.ts';
import type { EndpointSpec, Revocations } from '../ports.ts';
import { Batcher } from '../batching/batcher.ts';
import { NO_BATCH_OBSERVER } from '../batching/batch-observer.ts';
import type { BatchObserver } from '../batching/batch-observer.ts';
import { CostModel } from '../batching/cost-model.ts';
import { ModelStatistics } from '../statistics.ts';
import type { LoadModel, LoadedModel } from './load-model.ts';
import { TYPICAL_ROWS } from './load-order.ts';
import type { ModelSession } from './model-session.ts';
import { WorkerPool } from './worker-pool.ts';

export interface ModelHostOptions {
  readonly load: LoadModel;
  readonly clock: Clock;
  readonly metrics: GatewayMetrics;
  readonly log: GatewayLog;
  /** What one version's batches are reported to. */
  readonly observe?: (endpoint: string, version: Digest) => BatchObserver;
  readonly placement?: PlacementPolicy;
  /** A version became ready, was refused or was lost. */
  readonly onChange: () => void;
}

export interface PlacementPolicy {
  /** A typical batch up to this long runs on the event loop. */
  readonly inlineRunMs: number;
  /** Between two moves of a version. */
  readonly restMs: number;
}

/** About what a batch of a small model costs on the way to a thread and back. */
const DEFAULT_PLACEMENT: PlacementPolicy = { inlineRunMs: 0.3, restMs: 60_000 };

export interface WantedVersion {
  readonly descriptor: VersionDescriptor;
  /** Proven: may run on the event loop. */
  readonly champion: boolean;
}

interface HostedVersion {
  /** The newest one: approvals may have been added since. */
  descriptor: VersionDescriptor;
  batcher: Batcher | null;
  /** These two are of the version, not of a thread that may be lost. */
  readonly statistics: ModelStatistics;
  readonly cost: CostModel;
  quickToCreate: boolean;
  /** What its batcher's session was made for. */
  backend: BackendSpec | null;
  /** A typical batch has been too long for the event loop this many looks in a row. */
  dearLooks: number;
  movableAtMs: number;
  loading: boolean;
  refusal: { readonly code: ErrorCode; readonly message: string } | null;
  retryAtMs: number;
}

const RETRY_MS = 10_000;
/** Times the limit: a model that is moved to a thread would have to become this much faster to come back. */
const HYSTERESIS = 2;
const DEAR_LOOKS = 2;

export class ModelHost {
  #spec: EndpointSpec;
  readonly #options: ModelHostOptions;
  readonly #versions = new Map<Digest, HostedVersion>();
  #revocations: Revocations = { digests: [], keyIds: [] };
  readonly #loads = new Set<Promise<void>>();
  readonly #retiring = new Set<Promise<void>>();
  #closed = false;

  constructor(spec: EndpointSpec, options: ModelHostOptions) {
    this.#spec = spec;
    this.#options = options;
  }

  /** From now on these are refused; a version that is loaded keeps its session, and says that it is revoked. */
  revoke(revocations: Revocations): void {
    this.#revocations = revocations;
    for (const version of this.#versions.values()) this.#markRevoked(version);
  }

  /** The contract may change while versions are loaded; their number of features does not. */
  follow(spec: EndpointSpec): void {
    this.#spec = spec;
    for (const { batcher } of this.#versions.values()) {
      if (batcher !== null) batcher.maxBatchRows = spec.serving.maxBatchRows;
    }
  }

  /** Loads what is missing and drops what is not wanted any more. */
  want(wanted: readonly WantedVersion[]): void {
    const digests = new Set(wanted.map(({ descriptor }) => descriptor.digest));
    for (const [digest, version] of this.#versions) {
      if (digests.has(digest)) continue;
      this.#versions.delete(digest);
      if (version.batcher !== null) this.#retire(version.batcher);
    }
    for (const want of wanted) this.#want(want);
  }

  /** Ready to answer; null while it is loading or was refused. A revoked version that is loaded stays usable. */
  session(digest: Digest): Batcher | null {
    return this.#versions.get(digest)?.batcher ?? null;
  }

  /** Also while its thread is lost and it is loaded again; null for a version that is not here. */
  statistics(digest: Digest): ModelStatistics | null {
    return this.#versions.get(digest)?.statistics ?? null;
  }

  state(digest: Digest): VersionState {
    const version = this.#versions.get(digest);
    if (version?.refusal) return { state: 'refused', ...version.refusal };
    return version?.batcher ? { state: 'ready' } : { state: 'loading' };
  }

  /** Versions that can answer now. */
  ready(): readonly Digest[] {
    return [...this.#versions].filter(([, { batcher }]) => batcher !== null).map(([digest]) => digest);
  }

  /**
   * Retires everything, and waits for the loads under way, which end unused: a process that leaves while a thread is
   * in native code is aborted.
   */
  async close(): Promise<void> {
    this.#closed = true;
    for (const { batcher } of this.#versions.values()) if (batcher !== null) this.#retire(batcher);
    this.#versions.clear();
    await Promise.all(this.#loads);
    await Promise.all(this.#retiring);
  }

  #want({ descriptor, champion }: WantedVersion): void {
    const { clock } = this.#options;
    let version = this.#versions.get(descriptor.digest);
    if (version === undefined) {
      version = newVersion(descriptor);
      this.#versions.set(descriptor.digest, version);
    }
    version.descriptor = descriptor;
    if (version.loading) return;
    const { batcher } = version;
    if (batcher?.session instanceof WorkerPool) batcher.session.maintain();
    const now = clock.monotonic();
    const missing = batcher === null && now >= version.retryAtMs;
    // The manifest names another server now, or none any more; what was loaded serves until the move has worked.
    const elsewhere = batcher !== null && now >= version.retryAtMs && this.#isElsewhere(version);
    const misplaced = batcher !== null && !elsewhere && champion && this.#isMisplaced(version, batcher, now);
    if (!missing && !misplaced && !elsewhere) return;
    if (misplaced) version.movableAtMs = now + this.#placement.restMs;
    const load = this.#load(version, !champion || (misplaced && batcher.placement === 'inline'));
    this.#loads.add(load);
    void load.finally(() => this.#loads.delete(load));
  }

  get #placement(): PlacementPolicy {
    return this.#options.placement ?? DEFAULT_PLACEMENT;
  }

  #isElsewhere({ backend }: HostedVersion): boolean {
    return JSON.stringify(backend) !== JSON.stringify(this.#spec.serving.backend);
  }

  /** Also true for a candidate that was promoted, whose first move need not wait. */
  #isMisplaced(version: HostedVersion, { placement, cost }: Batcher, now: number): boolean {
    const typicalMs = cost.runMs(TYPICAL_ROWS);
    const { inlineRunMs } = this.#placement;
    if (placement === 'inline') {
      version.dearLooks = typicalMs > HYSTERESIS * inlineRunMs ? version.dearLooks + 1 : 0;
      return version.dearLooks >= DEAR_LOOKS && now >= version.movableAtMs;
    }
    return (
      placement === 'worker' &&
      version.quickToCreate &&
      typicalMs <= inlineRunMs &&
      now >= version.movableAtMs
    );
  }

  async #load(version: HostedVersion, isolate: boolean): Promise<void> {
    const { load, clock, log } = this.#options;
    const { descriptor } = version;
    const { endpoint, features, serving } = this.#spec;
    const started = clock.monotonic();
    version.loading = true;
    try {
      if (descriptor.model !== endpoint) {
        throw new SlipwayError(
          'MODEL_LOAD_FAILED',
          `this version is of model ${descriptor.model}, not ${endpoint}`,
        );
      }
      const fields = { endpoint, version: descriptor.digest };
      const observer = this.#options.observe?.(endpoint, descriptor.digest) ?? NO_BATCH_OBSERVER;
      let session: ModelSession | null = null;
      let lost: string | null = null;
      const loaded = await load({
        descriptor,
        features,
        serving,
        revocations: this.#revocations,
        isolate,
        onLost: (reason) => {
          lost = reason;
          if (session !== null) this.#lost(version, session, reason);
        },
        onProblem: (error) =>
          log.error({ ...fields, reason: explain(error) }, 'a further thread could not be started'),
        onRecycled: () => {
          observer.recycled?.();
          log.info(fields, 'a thread of a model version was replaced by a fresh one');
        },
      });
      ({ session } = loaded);
      const wanted = !this.#closed && this.#versions.get(descriptor.digest) === version;
      if (!wanted) return await session.retire();
      version.backend = serving.backend;
      this.#place(version, loaded, observer, clock.monotonic() - started);
      // It may have ended between its first message and now.
      if (lost !== null) this.#lost(version, session, lost);
    } catch (error) {
      this.#refuse(version, error);
    } finally {
      version.loading = false;
    }
  }

  /** Puts a loaded session to work. */
  #place(version: HostedVersion, loaded: LoadedModel, observer: BatchObserver, ms: number): void {
    const { clock, metrics, log, onChange } = this.#options;
    const { digest } = version.descriptor;
    const { endpoint, serving } = this.#spec;
    const { session, quickToCreate, noiseFloor } = loaded;
    const { statistics, cost } = version;
    version.quickToCreate = quickToCreate;
    version.refusal = null;
    version.dearLooks = 0;
    for (const { rows, ms: runMs } of loaded.samples) cost.add(rows, runMs);
    const { batcher } = version;
    if (batcher === null) {
      const { maxBatchRows } = serving;
      version.batcher = new Batcher({ session, maxBatchRows, noiseFloor, statistics, cost, clock, observer });
    } else {
      // Requests that wait go to the new session, those under way end in the old one: nobody notices.
      batcher.replace(session);
    }
    metrics.modelLoaded(endpoint, digest, session.placement, ms);
    log.info({ endpoint, version: digest, placement: session.placement, ms }, 'model version loaded');
    onChange();
  }

  #retire(batcher: Batcher): void {
    const retiring = batcher.retire();
    this.#retiring.add(retiring);
    void retiring.then(() => this.#retiring.delete(retiring));
  }

  #refuse(version: HostedVersion, error: unknown): void {
    const { clock, metrics, log, onChange } = this.#options;
    const { endpoint } = this.#spec;
    const { digest } = version.descriptor;
    version.retryAtMs = clock.monotonic() + RETRY_MS;
    // A move to the event loop that failed changes nothing: what was loaded keeps serving.
    version.quickToCreate = false;
    const refusal =
      error instanceof SlipwayError
        ? { code: error.code, message: error.message }
        : { code: 'MODEL_LOAD_FAILED' as const, message: 'the model could not be loaded' };
    log.error(
      { endpoint, version: digest, code: refusal.code, reason: explain(error) },
      'model version refused',
    );
    metrics.modelRefused(endpoint, digest, refusal.code);
    if (version.batcher === null) version.refusal = refusal;
    if (!this.#closed) onChange();
  }

  #markRevoked(version: HostedVersion): void {
    const { digest, bundle } = version.descriptor;
    const revoked =
      this.#revocations.digests.includes(digest) ||
      this.#revocations.keyIds.includes(bundle.verificationMaterial.publicKey.hint);
    if (revoked && version.refusal === null) {
      version.refusal = {
        code: 'VERSION_REVOKED',
        message: `the version ${digest} or its key has been revoked`,
      };
    } else if (!revoked && version.refusal?.code === 'VERSION_REVOKED') {
      version.refusal = null;
      version.retryAtMs = 0;
    }
  }

  #lost(version: HostedVersion, session: ModelSession, reason: string): void {
    // It had been replaced already.
    if (version.batcher?.session !== session) return;
    const { log, onChange, clock } = this.#options;
    const { digest } = version.descriptor;
    log.error(
      { endpoint: this.#spec.endpoint, version: digest, reason },
      'a model version that was loaded cannot serve any more; loading again',
    );
    version.batcher = null;
    version.retryAtMs = clock.monotonic() + RETRY_MS / 10;
    if (!this.#closed) onChange();
  }
}

function newVersion(descriptor: VersionDescriptor): HostedVersion {
  return {
    descriptor,
    batcher: null,
    statistics: new ModelStatistics(),
    cost: new CostModel(),
    quickToCreate: false,
    backend: null,
    dearLooks: 0,
    movableAtMs: 0,
    loading: false,
    refusal: null,
    retryAtMs: 0,
  };
}

/**
 * The versions of one endpoint that this gateway holds, wants or refused. A version that is loaded stays loaded until
 * it is neither wanted by the route nor standing by; a refused one is tried again while it is wanted, because a
 * missing file may arrive and a gateway without a champion is worth a few reads.
 */
import { SlipwayError } from '../../domain/errors.ts';
import type { ErrorCode } from '../../domain/errors.ts';
import type { VersionDescriptor } from '../../domain/registry/index.ts';
import type { VersionState } from '../../domain/rollout/arm-window.ts';
import type { Digest } from '../../domain/routing/route.ts';
import type { Clock } from '../../platform/clock.ts';
import { explain } from '../log.ts';
import type { GatewayLog } from '../log.ts';
import type { GatewayMetrics } from '../metrics.ts';
import type { EndpointSpec, Revocations } from '../ports.ts';
import type { LoadModel } from './load-model.ts';
import type { ModelSession } from './model-session.ts';

export interface ModelHostOptions {
  readonly load: LoadModel;
  readonly clock: Clock;
  readonly metrics: GatewayMetrics;
  readonly log: GatewayLog;
  /** A version became ready, was refused or was lost. */
  readonly onChange: () => void;
}

export interface WantedVersion {
  readonly descriptor: VersionDescriptor;
  /** Proven: may run on the event loop. */
  readonly champion: boolean;
}

interface HostedVersion {
  /** The newest one: approvals may have been added since. */
  descriptor: VersionDescriptor;
  session: ModelSession | null;
  cheap: boolean;
  loading: boolean;
  refusal: { readonly code: ErrorCode; readonly message: string } | null;
  retryAtMs: number;
}

const RETRY_MS = 10_000;

export class ModelHost {
  readonly #spec: EndpointSpec;
  readonly #options: ModelHostOptions;
  readonly #versions = new Map<Digest, HostedVersion>();
  #revocations: Revocations = { digests: [], keyIds: [] };
  readonly #loads = new Set<Promise<void>>();
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

  /** Loads what is missing and drops what is not wanted any more. */
  want(wanted: readonly WantedVersion[]): void {
    const digests = new Set(wanted.map(({ descriptor }) => descriptor.digest));
    for (const [digest, version] of this.#versions) {
      if (digests.has(digest)) continue;
      this.#versions.delete(digest);
      void version.session?.retire();
    }
    for (const want of wanted) this.#want(want);
  }

  /** Ready to answer; null while it is loading or was refused. A revoked version that is loaded stays usable. */
  session(digest: Digest): ModelSession | null {
    return this.#versions.get(digest)?.session ?? null;
  }

  state(digest: Digest): VersionState {
    const version = this.#versions.get(digest);
    if (version?.refusal) return { state: 'refused', ...version.refusal };
    return version?.session ? { state: 'ready' } : { state: 'loading' };
  }

  /** Versions that can answer now. */
  ready(): readonly Digest[] {
    return [...this.#versions].filter(([, { session }]) => session !== null).map(([digest]) => digest);
  }

  /**
   * Retires everything, and waits for the loads under way, which end unused: a process that leaves while a thread is
   * in native code is aborted.
   */
  async close(): Promise<void> {
    this.#closed = true;
    const sessions = [...this.#versions.values()].map(({ session }) => session?.retire());
    this.#versions.clear();
    await Promise.all([...sessions, ...this.#loads]);
  }

  #want({ descriptor, champion }: WantedVersion): void {
    const { clock } = this.#options;
    let version = this.#versions.get(descriptor.digest);
    if (version === undefined) {
      version = { descriptor, session: null, cheap: false, loading: false, refusal: null, retryAtMs: 0 };
      this.#versions.set(descriptor.digest, version);
    }
    version.descriptor = descriptor;
    if (version.loading) return;
    const missing = version.session === null && clock.monotonic() >= version.retryAtMs;
    // A promoted version has proven itself: it moves to the event loop, where a run costs a fifth.
    const misplaced = champion && version.session?.placement === 'worker' && version.cheap;
    if (!missing && !misplaced) return;
    const load = this.#load(version, !champion);
    this.#loads.add(load);
    void load.finally(() => this.#loads.delete(load));
  }

  async #load(version: HostedVersion, isolate: boolean): Promise<void> {
    const { load, clock, metrics, log, onChange } = this.#options;
    const { descriptor } = version;
    const { digest } = descriptor;
    const { endpoint, features } = this.#spec;
    const started = clock.monotonic();
    version.loading = true;
    try {
      if (descriptor.model !== endpoint) {
        throw new SlipwayError(
          'MODEL_LOAD_FAILED',
          `this version is of model ${descriptor.model}, not ${endpoint}`,
        );
      }
      const onLost = (): void => this.#lost(version);
      const loaded = await load({ descriptor, features, revocations: this.#revocations, isolate, onLost });
      if (this.#closed || this.#versions.get(digest) !== version) return await loaded.session.retire();
      const former = version.session;
      version.session = loaded.session;
      version.cheap = loaded.cheap;
      version.refusal = null;
      const ms = clock.monotonic() - started;
      metrics.modelLoaded(endpoint, digest, loaded.session.placement, ms);
      log.info(
        { endpoint, version: digest, placement: loaded.session.placement, ms },
        'model version loaded',
      );
      onChange();
      // After the routes point to the new session.
      void former?.retire();
    } catch (error) {
      this.#refuse(version, error);
    } finally {
      version.loading = false;
    }
  }

  #refuse(version: HostedVersion, error: unknown): void {
    const { clock, metrics, log, onChange } = this.#options;
    const { endpoint } = this.#spec;
    const { digest } = version.descriptor;
    version.retryAtMs = clock.monotonic() + RETRY_MS;
    // A move to the event loop that failed changes nothing: what was loaded keeps serving.
    version.cheap = false;
    const refusal =
      error instanceof SlipwayError
        ? { code: error.code, message: error.message }
        : { code: 'MODEL_LOAD_FAILED' as const, message: 'the model could not be loaded' };
    log.error(
      { endpoint, version: digest, code: refusal.code, reason: explain(error) },
      'model version refused',
    );
    metrics.modelRefused(endpoint, digest, refusal.code);
    if (version.session === null) version.refusal = refusal;
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

  #lost(version: HostedVersion): void {
    const { log, onChange, clock } = this.#options;
    const { digest } = version.descriptor;
    log.error(
      { endpoint: this.#spec.endpoint, version: digest },
      'the thread of a model version ended; loading again',
    );
    version.session = null;
    version.retryAtMs = clock.monotonic() + RETRY_MS / 10;
    if (!this.#closed) onChange();
  }
}

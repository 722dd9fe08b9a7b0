/**
 * One endpoint of this gateway: follows its route, holds its versions, and says what is applied.
 *
 * A generation is applied when its champion is loaded; until then the former one goes on serving. Its candidate gets
 * traffic once it is loaded as well, and only while its lease lasts. Whatever arrives late, in between or not at all,
 * the effect on a candidate is less traffic, never more.
 */
import { createBreaker } from '../domain/rollout/breaker.ts';
import type { Acknowledgement, Arm, VersionState } from '../domain/rollout/arm-window.ts';
import { versionsOf } from '../domain/routing/route.ts';
import type { Candidate, Digest, Route } from '../domain/routing/route.ts';
import type { VersionDescriptor } from '../domain/registry/index.ts';
import { TallyBook } from './arm-tally.ts';
import type { Guard } from './guard.ts';
import { ModelHost } from './models/model-host.ts';
import type { ModelHostOptions, WantedVersion } from './models/model-host.ts';
import type { ModelSession } from './models/model-session.ts';
import type { EndpointSpec, EndpointState, Revocations } from './ports.ts';
import { inputContract } from './protocol/infer-request.ts';
import type { InputContract } from './protocol/infer-request.ts';
import { saltState } from './routing/bucket.ts';
import type { Exposure, ServingArm, ServingCandidate, ServingRoute } from './routing/serving-route.ts';

export interface ServedEndpointOptions extends Omit<ModelHostOptions, 'onChange'> {
  readonly gatewayId: string;
  readonly maxRows: number;
  readonly guard: Guard;
  /** Something that is acknowledged has changed. */
  readonly onChange: () => void;
}

interface Retained {
  readonly descriptor: VersionDescriptor;
  readonly untilMs: number;
}

/** Releases whose breakers are remembered: a candidate that comes back within one release is still tripped. */
const REMEMBERED_EXPOSURES = 16;

export class ServedEndpoint {
  readonly name: string;
  readonly tallies = new TallyBook();
  readonly #options: ServedEndpointOptions;
  readonly #host: ModelHost;
  readonly #exposures = new Map<string, Exposure>();
  readonly #retained = new Map<Digest, Retained>();
  #spec: EndpointSpec;
  #contract: InputContract;
  #latest: EndpointState;
  #applied: EndpointState | null = null;
  #serving: ServingRoute | null = null;

  constructor(state: EndpointState, options: ServedEndpointOptions) {
    this.name = state.route.endpoint;
    this.#options = options;
    this.#spec = state.spec;
    this.#contract = inputContract(state.spec.features, options.maxRows);
    this.#latest = state;
    this.#host = new ModelHost(state.spec, { ...options, onChange: () => this.#settle() });
  }

  get spec(): EndpointSpec {
    return this.#spec;
  }

  get contract(): InputContract {
    return this.#contract;
  }

  /** What requests are answered from; null until a champion is loaded. */
  get serving(): ServingRoute | null {
    return this.#serving;
  }

  /** The state that is being served: what a restart without the control plane should come back to. */
  get applied(): EndpointState | null {
    return this.#applied;
  }

  session(version: Digest): ModelSession | null {
    return this.#host.session(version);
  }

  readyVersions(): readonly Digest[] {
    return this.#host.ready();
  }

  /** Takes a state that was read at `readAtMs` (monotonic, before the read began); an older generation is ignored. */
  offer(state: EndpointState, revocations: Revocations, readAtMs: number): void {
    const { log } = this.#options;
    this.#host.revoke(revocations);
    if (state.route.generation < this.#latest.route.generation) {
      const fields = {
        endpoint: this.name,
        read: state.route.generation,
        known: this.#latest.route.generation,
      };
      log.warn(fields, 'an older route generation was read and is ignored');
    } else {
      this.#latest = { ...state, spec: this.#acceptSpec(state.spec) };
      const { candidate } = state.route;
      // The remaining time is counted from before the read, so that a slow answer cannot lengthen the lease.
      if (candidate !== null) {
        this.#exposureOf(candidate).leaseUntilMs =
          readAtMs + Math.min(state.leaseRemainingMs ?? 0, candidate.leaseMs);
      }
    }
    this.#settle();
  }

  acknowledgement(): Acknowledgement {
    const versions: Record<Digest, VersionState> = {};
    for (const digest of this.#needed(this.#latest.route)) versions[digest] = this.#host.state(digest);
    const { gatewayId } = this.#options;
    return { gatewayId, endpoint: this.name, generation: this.#serving?.generation ?? 0, versions };
  }

  close(): Promise<void> {
    return this.#host.close();
  }

  #settle(): void {
    const { route } = this.#latest;
    this.#withdrawSuperseded(route);
    if (this.#host.session(route.champion) !== null) this.#apply(this.#latest);
    else if (this.#applied !== null) this.#apply(this.#applied);
    this.#host.want(this.#wanted());
    this.#options.onChange();
  }

  /** Between a route that is read and its champion being loaded, a candidate that it does not have gets nothing. */
  #withdrawSuperseded(route: Route): void {
    const current = this.#applied?.route.candidate;
    if (current === null || current === undefined || current.version === route.champion) return;
    const kept = route.candidate !== null && exposureKey(route.candidate) === exposureKey(current);
    this.#exposureOf(current).withdrawn = !kept;
  }

  #apply(state: EndpointState): void {
    const { clock, metrics, guard } = this.#options;
    const { route, spec } = state;
    const champion = this.#host.session(route.champion);
    // Lost just now: its requests fail until it is back, and the state stays what it is.
    if (champion === null) return;
    const isNew = this.#serving?.generation !== route.generation;
    if (spec !== this.#spec) {
      this.#spec = spec;
      this.#contract = inputContract(spec.features, this.#options.maxRows);
    }
    this.tallies.enter(armsOf(route), clock.now());
    this.#applied = state;
    this.#serving = {
      generation: route.generation,
      champion: this.#arm(route, 'champion', route.champion, champion),
      candidate: route.candidate === null ? null : this.#candidate(route, route.candidate),
    };
    if (isNew) metrics.routeApplied(this.name, route.generation);
    const { candidate } = route;
    if (candidate !== null && candidate.weightBp + candidate.mirrorBp > 0) {
      const { generation } = route;
      guard.report(
        { endpoint: this.name, generation, version: candidate.version },
        this.#exposureOf(candidate).breaker,
      );
    }
  }

  #candidate(route: Route, candidate: Candidate): ServingCandidate | null {
    const { version, weightBp, mirrorBp, salt } = candidate;
    const session = this.#host.session(version);
    if (session === null || this.#host.state(version).state !== 'ready') return null;
    return {
      canary: weightBp > 0 ? this.#arm(route, 'canary', version, session) : null,
      shadow: mirrorBp > 0 ? this.#arm(route, 'shadow', version, session) : null,
      weightBp,
      mirrorBp,
      saltState: saltState(salt),
      exposure: this.#exposureOf(candidate),
    };
  }

  #arm(route: Route, arm: Arm, version: Digest, session: ModelSession): ServingArm {
    const tally = this.tallies.of(route.generation, arm);
    if (tally === undefined) throw new TypeError(`no tally for ${arm} of generation ${route.generation}`);
    return { version, session, tally };
  }

  #exposureOf(candidate: Candidate): Exposure {
    const key = exposureKey(candidate);
    let exposure = this.#exposures.get(key);
    if (exposure === undefined) {
      exposure = { breaker: createBreaker(), leaseUntilMs: -Infinity, withdrawn: false };
      this.#exposures.set(key, exposure);
      const [oldest] = this.#exposures.keys();
      if (this.#exposures.size > REMEMBERED_EXPOSURES && oldest !== undefined) this.#exposures.delete(oldest);
    }
    return exposure;
  }

  #wanted(): WantedVersion[] {
    const now = this.#options.clock.now();
    const wanted = new Map<Digest, WantedVersion>();
    const states = this.#applied === null ? [this.#latest] : [this.#latest, this.#applied];
    for (const { route, versions } of states) {
      for (const digest of this.#needed(route)) {
        const descriptor = versions.find((version) => version.digest === digest);
        if (descriptor === undefined || wanted.has(digest)) continue;
        wanted.set(digest, { descriptor, champion: digest !== route.candidate?.version });
        if (route.standby?.version === digest) {
          this.#retained.set(digest, { descriptor, untilMs: route.standby.untilMs });
        }
      }
    }
    for (const [digest, { descriptor, untilMs }] of this.#retained) {
      if (untilMs <= now) this.#retained.delete(digest);
      // A former champion keeps its memory for as long as it was promised, though a later route may not name it.
      else if (!wanted.has(digest) && this.#host.session(digest) !== null) {
        wanted.set(digest, { descriptor, champion: true });
      }
    }
    return [...wanted.values()];
  }

  /** The route's versions, without a standby whose time is over. */
  #needed(route: Route): Digest[] {
    const { standby, champion, candidate } = route;
    const over =
      standby !== null &&
      standby.untilMs <= this.#options.clock.now() &&
      standby.version !== champion &&
      standby.version !== candidate?.version;
    return versionsOf(route).filter((digest) => !(over && digest === standby.version));
  }

  #acceptSpec(spec: EndpointSpec): EndpointSpec {
    const columns = this.#spec.features.length;
    if (JSON.stringify(spec) === JSON.stringify(this.#spec)) return this.#spec;
    if (spec.features.length === columns) return spec;
    const fields = { endpoint: this.name, columns, read: spec.features.length };
    this.#options.log.error(
      fields,
      'the number of features has changed, which needs another endpoint; ignored',
    );
    return this.#spec;
  }
}

function exposureKey({ version, salt }: Candidate): string {
  return `${version} ${salt}`;
}

/** Arms that have a share in this route, whether or not they may use it at the moment. */
function armsOf(route: Route): { endpoint: string; generation: number; arm: Arm; version: Digest }[] {
  const { endpoint, generation, champion, candidate } = route;
  const arms: { endpoint: string; generation: number; arm: Arm; version: Digest }[] = [
    { endpoint, generation, arm: 'champion', version: champion },
  ];
  if (candidate !== null && candidate.weightBp > 0) {
    arms.push({ endpoint, generation, arm: 'canary', version: candidate.version });
  }
  if (candidate !== null && candidate.mirrorBp > 0) {
    arms.push({ endpoint, generation, arm: 'shadow', version: candidate.version });
  }
  return arms;
}

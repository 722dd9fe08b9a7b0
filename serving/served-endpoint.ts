/**
 * One endpoint of this gateway: follows its route, holds its versions, and says what is applied.
 *
 * A generation is applied when its champion is loaded; until then the former one goes on serving. Its candidate gets
 * traffic once it is loaded as well, and only while its lease lasts. Whatever arrives late, in between or not at all,
 * the effect on a candidate is less traffic, never more.
 */
import { SlipwayError } from '../domain/errors.ts';
import { createBreaker } from '../domain/rollout/breaker.ts';
import type { Acknowledgement, Arm, VersionState } from '../domain/rollout/arm-window.ts';
import { FULL_WEIGHT, versionsOf } from '../domain/routing/route.ts';
import type { Candidate, Digest, Route, RouteExperiment } from '../domain/routing/route.ts';
import type { VersionDescriptor } from '../domain/registry/index.ts';
import { TallyBook } from './arm-tally.ts';
import type { Guard } from './guard.ts';
import { ModelHost } from './models/model-host.ts';
import type { ModelHostOptions, WantedVersion } from './models/model-host.ts';
import type { BatchedModel } from './batching/batched-model.ts';
import type { EndpointReading } from './metrics.ts';
import type { Allocation, EndpointSpec, EndpointState, Revocations } from './ports.ts';
import { endpointInputs } from './endpoint-inputs.ts';
import type { EndpointInputs, InputParts } from './endpoint-inputs.ts';
import type { EndpointLog } from './prediction-log/index.ts';
import type { ModelStatistics } from './statistics.ts';
import { saltState } from './routing/bucket.ts';
import { linUcbPolicy } from './routing/lin-ucb-policy.ts';
import type { ServingExperiment } from './routing/serving-experiment.ts';
import type { Exposure, ServingArm, ServingCandidate, ServingRoute } from './routing/serving-route.ts';

export interface ServedEndpointOptions extends Omit<ModelHostOptions, 'onChange'>, InputParts {
  readonly gatewayId: string;
  readonly guard: Guard;
  /** Something that is acknowledged has changed. */
  readonly onChange: () => void;
}

interface Retained {
  readonly descriptor: VersionDescriptor;
  readonly untilMs: number;
}

/** Arms whose breakers are remembered: a candidate that comes back within one release is still tripped. */
const REMEMBERED_EXPOSURES = 32;

export class ServedEndpoint {
  readonly name: string;
  readonly tallies = new TallyBook();
  readonly #options: ServedEndpointOptions;
  readonly #host: ModelHost;
  readonly #exposures = new Map<string, Exposure>();
  readonly #retained = new Map<Digest, Retained>();
  #spec: EndpointSpec;
  #inputs: EndpointInputs;
  /** The feature cache has been warmed for this endpoint, as far as its time allowed. */
  #warm = false;
  #latest: EndpointState;
  #applied: EndpointState | null = null;
  #serving: ServingRoute | null = null;
  #unloaded = false;
  /** Who waits for the next change. */
  #settled: (() => void)[] = [];

  constructor(state: EndpointState, options: ServedEndpointOptions) {
    this.name = state.route.endpoint;
    this.#options = options;
    this.#spec = state.spec;
    this.#inputs = endpointInputs(state.spec, options);
    this.#warmUp();
    this.#latest = state;
    this.#host = new ModelHost(state.spec, { ...options, onChange: () => this.#settle() });
  }

  get spec(): EndpointSpec {
    return this.#spec;
  }

  get inputs(): EndpointInputs {
    return this.#inputs;
  }

  /** Its predictions on disk; null when they are not kept. */
  get log(): EndpointLog | null {
    return this.#inputs.log;
  }

  /** Whether requests can be answered as fast as they should be, or an operator does not want them answered. */
  get ready(): boolean {
    return this.#unloaded || (this.#serving !== null && this.#warm);
  }

  /** Takes the endpoint out of service on this gateway, until `load` or a restart. Requests under way are answered. */
  unload(): void {
    this.#unloaded = true;
    this.#settle();
  }

  /**
   * Puts the endpoint back into service, or does nothing; resolves when its champion answers.
   * @throws SlipwayError that the champion is refused with
   */
  async load(): Promise<void> {
    this.#unloaded = false;
    this.#settle();
    while (this.#serving === null && !this.#unloaded) {
      const state = this.#host.state(this.#latest.route.champion);
      if (state.state === 'refused')
        throw new SlipwayError('MODEL_LOAD_FAILED', `${state.code}: ${state.message}`);
      await new Promise<void>((resolve) => {
        this.#settled.push(resolve);
      });
    }
  }

  /** What requests are answered from; null until a champion is loaded. */
  get serving(): ServingRoute | null {
    return this.#serving;
  }

  /** The state that is being served: what a restart without the control plane should come back to. */
  get applied(): EndpointState | null {
    return this.#applied;
  }

  session(version: Digest): BatchedModel | null {
    return this.#host.session(version);
  }

  /** What the version has done here since it was loaded first; null for one that is not here. */
  statistics(version: Digest): ModelStatistics | null {
    return this.#host.statistics(version);
  }

  reading(): EndpointReading {
    const { experiment } = this.#applied?.route ?? { experiment: null };
    const { sharesBp = [] } = this.#serving?.experiment ?? {};
    return {
      endpoint: this.name,
      costs: this.readyVersions().flatMap((version) => {
        const cost = this.session(version)?.cost;
        if (cost === undefined) return [];
        return { version, msPerRow: cost.a, msPerRun: cost.b, residualMs: cost.residual };
      }),
      shares:
        experiment?.arms.map(({ name: arm }, i) => ({
          experiment: experiment.name,
          arm,
          share: (sharesBp[i] ?? 0) / FULL_WEIGHT,
        })) ?? [],
      features: this.#inputs.joiner?.counts() ?? [],
    };
  }

  /** The queue that a request without further wishes would join; null until a champion is loaded. */
  get champion(): BatchedModel | null {
    return this.#serving?.champion.session ?? null;
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
      const { candidate, experiment } = state.route;
      // The remaining time is counted from before the read, so that a slow answer cannot lengthen the lease.
      const leaseUntil = (leaseMs: number): number =>
        readAtMs + Math.min(state.leaseRemainingMs ?? 0, leaseMs);
      if (candidate !== null) this.#exposureOf(candidate).leaseUntilMs = leaseUntil(candidate.leaseMs);
      if (experiment !== null) {
        for (const { name } of experiment.arms) {
          this.#armExposure(experiment, name).leaseUntilMs = leaseUntil(experiment.leaseMs);
        }
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

  /** To be called now and then, whether or not there is news. */
  maintain(): void {
    this.#settle();
  }

  #warmUp(): void {
    const { features } = this.#options;
    if (this.#inputs.joiner === null || features === null) {
      this.#warm = true;
      return;
    }
    void features.warmUp().then(() => {
      this.#warm = true;
      this.#options.onChange();
    });
  }

  #settle(): void {
    const { route } = this.#latest;
    this.#withdrawSuperseded(route);
    if (this.#unloaded) {
      this.#serving = null;
      this.#host.want([]);
    } else {
      if (this.#host.session(route.champion) !== null) this.#apply(this.#latest);
      else if (this.#applied !== null) this.#apply(this.#applied);
      this.#host.want(this.#wanted());
    }
    for (const resolve of this.#settled.splice(0)) resolve();
    this.#options.onChange();
  }

  /** Between a route that is read and its champion being loaded, a candidate that it does not have gets nothing. */
  #withdrawSuperseded(route: Route): void {
    const running = this.#applied?.route.experiment;
    for (const { name } of running?.arms ?? []) {
      if (running) this.#armExposure(running, name).withdrawn = route.experiment?.salt !== running.salt;
    }
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
      this.#host.follow(spec);
      this.#inputs = endpointInputs(spec, this.#options);
      // Whoever is served already goes on; only a start waits for the cache.
      void this.#options.features?.warmUp();
    }
    this.tallies.enter(armsOf(route), clock.now());
    this.#applied = state;
    this.#serving = {
      generation: route.generation,
      champion: this.#arm(route, 'champion', route.champion, champion, null),
      candidate: route.candidate === null ? null : this.#candidate(route, route.candidate),
      experiment:
        route.experiment === null ? null : this.#experiment(route, route.experiment, state.allocation),
    };
    if (isNew) metrics.routeApplied(this.name, route.generation);
    const { generation, candidate, experiment } = route;
    const report = (version: Digest, { breaker }: Exposure): void =>
      guard.report({ endpoint: this.name, generation, version }, breaker);
    if (candidate !== null && candidate.weightBp + candidate.mirrorBp > 0) {
      report(candidate.version, this.#exposureOf(candidate));
    }
    for (const { name, version } of experiment?.arms ?? []) {
      if (experiment !== null && version !== route.champion)
        report(version, this.#armExposure(experiment, name));
    }
  }

  #candidate(route: Route, candidate: Candidate): ServingCandidate | null {
    const { version, weightBp, mirrorBp, salt } = candidate;
    const session = this.#host.session(version);
    if (session === null || this.#host.state(version).state !== 'ready') return null;
    const exposure = this.#exposureOf(candidate);
    return {
      canary: weightBp > 0 ? this.#arm(route, 'canary', version, session, exposure) : null,
      shadow: mirrorBp > 0 ? this.#arm(route, 'shadow', version, session, exposure) : null,
      weightBp,
      mirrorBp,
      saltState: saltState(salt),
      exposure,
    };
  }

  /**
   * Null without an allocation for it: whoever started the experiment has not said yet who gets what. Null too until
   * all arms are loaded: were some counted earlier than others, the arms would not get their shares.
   */
  #experiment(
    route: Route,
    experiment: RouteExperiment,
    allocation: Allocation | null,
  ): ServingExperiment | null {
    const { name, sticky, salt } = experiment;
    if (allocation?.experiment !== name || allocation.sharesBp.length !== experiment.arms.length) return null;
    const arms = experiment.arms.map((arm) => {
      const session = this.#host.session(arm.version);
      if (session === null || this.#host.state(arm.version).state !== 'ready') return null;
      // What fails everywhere must not take the champion's own arm out: there is nobody behind it.
      const exposure = arm.version === route.champion ? null : this.#armExposure(experiment, arm.name);
      return this.#arm(route, `exp:${arm.name}`, arm.version, session, exposure);
    });
    if (arms.includes(null)) return null;
    const { version, sharesBp, contextual } = allocation;
    const columns = this.#spec.features.map((feature) => feature.name);
    return {
      name,
      sticky,
      saltState: saltState(salt),
      arms,
      snapshot: version,
      sharesBp,
      contextual: contextual === null ? null : linUcbPolicy(contextual, columns),
    };
  }

  #arm(
    route: Route,
    arm: Arm,
    version: Digest,
    session: BatchedModel,
    exposure: Exposure | null,
  ): ServingArm {
    const tally = this.tallies.of(route.generation, arm);
    if (tally === undefined) throw new TypeError(`no tally for ${arm} of generation ${route.generation}`);
    return { version, session, tally, exposure };
  }

  #exposureOf(candidate: Candidate): Exposure {
    return this.#exposure(exposureKey(candidate));
  }

  #armExposure({ name, salt }: RouteExperiment, arm: string): Exposure {
    return this.#exposure(`${name} ${salt} ${arm}`);
  }

  #exposure(key: string): Exposure {
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
        // Arms of an experiment are approved, but only the champion has proven itself under this traffic.
        const unproven = digest === route.candidate?.version || isChallenger(route, digest);
        wanted.set(digest, { descriptor, champion: !unproven });
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

function isChallenger({ champion, experiment }: Route, digest: Digest): boolean {
  return digest !== champion && (experiment?.arms.some(({ version }) => version === digest) ?? false);
}

function exposureKey({ version, salt }: Candidate): string {
  return `${version} ${salt}`;
}

/** Arms that have a share in this route, whether or not they may use it at the moment. */
function armsOf(route: Route): { endpoint: string; generation: number; arm: Arm; version: Digest }[] {
  const { endpoint, generation, champion, candidate, experiment } = route;
  const arms: { endpoint: string; generation: number; arm: Arm; version: Digest }[] = [
    { endpoint, generation, arm: 'champion', version: champion },
  ];
  if (candidate !== null && candidate.weightBp > 0) {
    arms.push({ endpoint, generation, arm: 'canary', version: candidate.version });
  }
  if (candidate !== null && candidate.mirrorBp > 0) {
    arms.push({ endpoint, generation, arm: 'shadow', version: candidate.version });
  }
  for (const { name, version } of experiment?.arms ?? []) {
    arms.push({ endpoint, generation, arm: `exp:${name}`, version });
  }
  return arms;
}

/**
 * The route of an endpoint: who answers, who is tried, who stands by. One immutable value per generation.
 *
 * A change is a pure function of the present route; the repository writes it by compare-and-set on `generation`
 * and refuses an `epoch` lower than the one stored, so neither a stale writer nor a superseded rollout can win.
 */
import { SlipwayError } from '../errors.ts';

/** `sha256:<64 hex>`: the root digest of a model version. */
export type Digest = string;

/** Traffic weights are in basis points (1/10,000), like the buckets that they select. */
export const FULL_WEIGHT = 10_000;

export interface Candidate {
  readonly version: Digest;
  /** Share of live requests that the candidate answers, 0–10,000. */
  readonly weightBp: number;
  /** Share of the champion's requests that are mirrored to the candidate, 0–10,000. */
  readonly mirrorBp: number;
  /** Salt of the sticky buckets: the release, so that successive releases draw different users. */
  readonly salt: string;
  /** Without renewal the candidate loses all traffic after this long. */
  readonly leaseMs: number;
}

export interface Standby {
  readonly version: Digest;
  /** Unix milliseconds until which gateways keep it loaded. */
  readonly untilMs: number;
}

/** One arm of an experiment: a version that is approved for this endpoint, or the champion itself. */
export interface RouteExperimentArm {
  readonly name: string;
  readonly version: Digest;
}

/** An experiment on live users. Which share each arm has is in its snapshots; the route says what must be loaded. */
export interface RouteExperiment {
  readonly name: string;
  readonly arms: readonly RouteExperimentArm[];
  /** The same unit gets the same arm (A/B); otherwise each request is drawn anew (bandit). */
  readonly sticky: boolean;
  readonly salt: string;
  /** Without renewal the champion answers everything after this long. */
  readonly leaseMs: number;
}

export interface Route {
  readonly endpoint: string;
  readonly generation: number;
  /** Fencing token: issued by the registry to each rollout and rollback, ever rising. */
  readonly epoch: number;
  readonly champion: Digest;
  readonly candidate: Candidate | null;
  readonly standby: Standby | null;
  /** Never beside a candidate: a rollout ends an experiment. */
  readonly experiment: RouteExperiment | null;
}

/** What a writer wants; `generation` is given by the registry. */
export type RouteTarget = Pick<Route, 'champion' | 'candidate' | 'standby' | 'experiment'>;

export type RouteChange =
  /** First champion of an endpoint. */
  | { readonly kind: 'bootstrap'; readonly version: Digest }
  /** Let every gateway load and verify the candidate, with no traffic. */
  | { readonly kind: 'prepare'; readonly version: Digest; readonly salt: string; readonly leaseMs: number }
  | { readonly kind: 'shadow'; readonly version: Digest; readonly mirrorBp: number }
  | { readonly kind: 'canary'; readonly version: Digest; readonly weightBp: number }
  | { readonly kind: 'promote'; readonly version: Digest; readonly standbyUntilMs: number }
  /** Give every arm of an experiment its share of live requests. */
  | { readonly kind: 'experiment'; readonly experiment: RouteExperiment }
  /** All traffic to the champion; the candidate, or the experiment, is dropped. */
  | { readonly kind: 'restore' }
  /** A former champion serves again; the present one stands by. */
  | { readonly kind: 'rollback'; readonly version: Digest; readonly standbyUntilMs: number };

/**
 * The route after `change`.
 * @throws SlipwayError `WRONG_PHASE` when the change does not follow from the present route, e.g. a canary for a
 *   version that was not prepared; `NO_CHAMPION` when there is no route and the change is not a bootstrap.
 */
export function applyChange(route: Route | null, change: RouteChange): RouteTarget {
  if (change.kind === 'bootstrap') {
    if (route !== null)
      throw new SlipwayError('WRONG_PHASE', `endpoint ${route.endpoint} already has a champion`);
    return { champion: change.version, candidate: null, standby: null, experiment: null };
  }
  if (route === null)
    throw new SlipwayError('NO_CHAMPION', 'the endpoint has no champion; release one first');
  switch (change.kind) {
    case 'prepare': {
      if (change.version === route.champion) {
        throw new SlipwayError('WRONG_PHASE', 'the champion cannot be its own candidate');
      }
      const { version, salt, leaseMs } = change;
      return {
        ...target(route),
        candidate: { version, weightBp: 0, mirrorBp: 0, salt, leaseMs },
        experiment: null,
      };
    }
    case 'shadow':
      return {
        ...target(route),
        candidate: { ...own(route, change.version), weightBp: 0, mirrorBp: share(change.mirrorBp) },
      };
    case 'canary':
      return {
        ...target(route),
        candidate: { ...own(route, change.version), weightBp: share(change.weightBp), mirrorBp: 0 },
      };
    case 'promote':
      own(route, change.version);
      return {
        champion: change.version,
        candidate: null,
        standby: { version: route.champion, untilMs: change.standbyUntilMs },
        experiment: null,
      };
    case 'experiment':
      return { ...target(route), experiment: admissible(route, change.experiment) };
    case 'restore':
      return { ...target(route), candidate: null, experiment: null };
    case 'rollback':
      if (change.version === route.champion) return { ...target(route), candidate: null, experiment: null };
      return {
        champion: change.version,
        candidate: null,
        standby: { version: route.champion, untilMs: change.standbyUntilMs },
        experiment: null,
      };
    default:
      return unreachable(change);
  }
}

/** Versions that a gateway must have loaded to serve this route. */
export function versionsOf(route: Route): readonly Digest[] {
  const arms = route.experiment?.arms.map(({ version }) => version) ?? [];
  const all = [route.champion, route.candidate?.version, route.standby?.version, ...arms];
  return [...new Set(all.filter((version) => version !== undefined))];
}

function target({ champion, candidate, standby, experiment }: Route): RouteTarget {
  return { champion, candidate, standby, experiment };
}

function admissible(route: Route, experiment: RouteExperiment): RouteExperiment {
  if (route.candidate !== null) {
    throw new SlipwayError(
      'ROLLOUT_IN_PROGRESS',
      `a rollout holds ${route.endpoint}; start the experiment when it has ended`,
    );
  }
  if (route.experiment !== null) {
    throw new SlipwayError(
      'EXPERIMENT_RUNNING',
      `experiment ${route.experiment.name} runs on ${route.endpoint}; stop it first`,
    );
  }
  if (!experiment.arms.some(({ version }) => version === route.champion)) {
    throw new SlipwayError(
      'INVALID_REQUEST',
      'one arm of an experiment must be the champion: it is what the others are compared with',
    );
  }
  return experiment;
}

function own(route: Route, version: Digest): Candidate {
  if (route.candidate?.version !== version) {
    throw new SlipwayError('WRONG_PHASE', `version ${version} is not the candidate of ${route.endpoint}`);
  }
  return route.candidate;
}

function share(basisPoints: number): number {
  if (!Number.isInteger(basisPoints) || basisPoints < 0 || basisPoints > FULL_WEIGHT) {
    throw new SlipwayError(
      'INVALID_REQUEST',
      `a traffic share is 0–${FULL_WEIGHT} basis points, not ${basisPoints}`,
    );
  }
  return basisPoints;
}

function unreachable(change: never): never {
  throw new SlipwayError('INTERNAL', `unknown route change ${JSON.stringify(change)}`);
}

/** A release: one candidate on its way from training data to champion. */
import type { ModelManifest, ParameterValue } from '../manifest/model-manifest.ts';
import type { Digest } from '../routing/route.ts';

/** In the order in which a release walks them. */
export const RELEASE_PHASES = [
  'snapshot',
  'train',
  'validate',
  'register',
  'approve',
  'shadow',
  'canary',
  'promote',
  'done',
] as const;
export type ReleasePhase = (typeof RELEASE_PHASES)[number];

/** How a release ended. Every value but `promoted` leaves the former champion serving. */
export const RELEASE_OUTCOMES = [
  'promoted',
  'denied',
  'rejected',
  'rolled_back',
  'aborted',
  'failed',
] as const;
/** `null` in a release while it runs. */
export type ReleaseOutcome = (typeof RELEASE_OUTCOMES)[number];

export type ReleaseParameters = Readonly<Record<string, ParameterValue>>;

export interface Release {
  /** `<model>/<number>`, e.g. `elec2/4`; the workflow id is `release/<id>`. */
  readonly id: string;
  readonly model: string;
  /** The endpoint has the model's name. */
  readonly endpoint: string;
  readonly manifestDigest: string;
  readonly parameters: ReleaseParameters;
  readonly skipShadow: boolean;
  readonly submittedBy: string;
  readonly phase: ReleasePhase;
  readonly outcome: ReleaseOutcome | null;
  readonly reason: string | null;
  readonly candidate: Digest | null;
  readonly bootstrap: boolean;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

/** What the registry tells a release when it opens: everything later steps are bound to. */
export interface OpenedRelease {
  readonly manifest: ModelManifest;
  readonly manifestDigest: string;
  /** Digest of the part of the manifest that is policy: risk tier, gates, guardrails, approval, rollout. */
  readonly policyDigest: string;
  readonly champion: Digest | null;
}

/** One line of a release's timeline. */
export interface ReleaseEvent {
  readonly atMs: number;
  readonly phase: ReleasePhase;
  readonly message: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

/** Release parameters that choose the training data; all others are the trainer's own. */
export const DATA_PARAMETERS: readonly string[] = ['train_before'];

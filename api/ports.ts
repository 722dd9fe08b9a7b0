/** What the routes need from outside. Adapters over PostgreSQL and Temporal are put together in `api.main.ts`. */
import type { Problem } from '../domain/errors.ts';
import type { ModelManifest } from '../domain/manifest/model-manifest.ts';
import type { AuditRow } from '../domain/registry/audit-chain.ts';
import type { Approval, ModelVersion } from '../domain/registry/model-version.ts';
import type { Release, ReleaseEvent, ReleaseParameters } from '../domain/release/release.ts';
import type { LabelRow, LiveGateway } from '../domain/rollout/arm-window.ts';
import type { Digest, Route } from '../domain/routing/route.ts';
import type {
  ApprovalAnswer,
  ApprovalRequest,
  OperatorRequest,
  ReleaseView,
  RollbackInput,
  RollbackResult,
} from '../workflows/messages.ts';
import type { ExperimentReader, ExperimentRuns, RewardSink } from './experiment-ports.ts';

export type Role = 'viewer' | 'engineer' | 'approver' | 'operator' | 'admin' | 'service';

/** Who a request comes from: always from its token, never from its body. */
export interface Actor {
  readonly actor: string;
  readonly role: Role;
}

export interface TokenStore {
  /** By the hash of the token; the token itself is not stored. */
  find(token: string): Promise<Actor | null>;
  /** The same token for the same actor again is a no-op. */
  add(token: string, holder: Actor): Promise<void>;
}

export interface StoredModel {
  readonly name: string;
  readonly manifest: ModelManifest;
  readonly manifestDigest: Digest;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

export interface AppliedModel {
  readonly name: string;
  readonly manifestDigest: Digest;
  /** False when it was the present manifest already. */
  readonly changed: boolean;
}

export interface ModelStore {
  apply(manifest: ModelManifest, actor: string): Promise<AppliedModel>;
  list(): Promise<readonly StoredModel[]>;
  /** @throws MODEL_NOT_FOUND */
  get(name: string): Promise<StoredModel>;
}

export interface NewRelease {
  readonly model: string;
  readonly parameters: ReleaseParameters;
  readonly skipShadow: boolean;
  readonly submittedBy: string;
  /** The same key again gives the release that it made before. */
  readonly requestKey?: string;
}

export interface ReleaseStore {
  /** @throws MODEL_NOT_FOUND */
  create(release: NewRelease): Promise<Release>;
  /** @throws RELEASE_NOT_FOUND */
  get(id: string): Promise<Release>;
  /** Newest first. */
  list(query: { readonly model?: string; readonly limit: number }): Promise<readonly Release[]>;
  timeline(id: string): Promise<readonly ReleaseEvent[]>;
  /** Ends a release that can no longer say so itself; the same key again is a no-op. */
  record(entry: {
    readonly releaseId: string;
    readonly key: string;
    readonly phase: 'done';
    readonly message: string;
    readonly outcome: 'aborted';
    readonly reason: string;
  }): Promise<void>;
}

export interface RouteReader {
  /** Null for an endpoint that has never had a champion. */
  read(endpoint: string): Promise<Route | null>;
  liveGateways(endpoint: string): Promise<readonly LiveGateway[]>;
  /** Every generation, oldest first. */
  history(endpoint: string): Promise<readonly { readonly after: Route; readonly atMs: number }[]>;
}

export interface RegisteredVersion {
  readonly version: ModelVersion;
  /** 1, 2, 3 … within the model. */
  readonly number: number;
  readonly revoked: boolean;
}

export interface VersionReader {
  /** Newest first. */
  list(model: string): Promise<readonly RegisteredVersion[]>;
  /** By digest or the beginning of one. @throws VERSION_NOT_FOUND, INVALID_REQUEST when it fits more than one */
  find(reference: string): Promise<RegisteredVersion>;
  approvals(digest: Digest): Promise<readonly Approval[]>;
  /** For good; again is a no-op. */
  revoke(revocation: {
    readonly kind: 'version';
    readonly subject: Digest;
    readonly reason: string;
    readonly actor: string;
  }): Promise<void>;
}

export interface VersionVerifier {
  /** Everything that a gateway checks before it serves a version; empty when it may be served. */
  problems(digest: Digest): Promise<readonly (Problem & { readonly code: string })[]>;
}

export interface LabelReceipt {
  /** Stored, and joined to a prediction. */
  readonly accepted: number;
  /** Stored, to be joined when the prediction arrives. */
  readonly unknown: number;
  /** The same label was there already. */
  readonly duplicates: number;
  /** Another label was there already; the first one stands. */
  readonly conflicting: number;
}

export interface LabelSink {
  addLabels(labels: readonly LabelRow[]): Promise<LabelReceipt>;
}

export interface BrokenStream {
  readonly stream: string;
  /** Number of the first bad row. */
  readonly seq: number;
  readonly reason: string;
}

export interface AuditReader {
  /** Newest first. */
  list(query: {
    readonly stream: string;
    readonly limit: number;
    readonly before?: number;
  }): Promise<readonly AuditRow[]>;
  verify(): Promise<{
    readonly ok: boolean;
    readonly rows: number;
    readonly streams: number;
    readonly checkpoints: number;
    /** The first bad row of each broken stream. */
    readonly broken: readonly BrokenStream[];
  }>;
}

export type ReleaseCommand = 'pause' | 'resume' | 'skipStep' | 'abort' | 'promoteNow';

/** The durable side: Temporal. Refusals of a workflow arrive as SlipwayError with the workflow's code. */
export interface ReleaseWorkflows {
  /** Starts it once; again is a no-op. @throws UNAVAILABLE */
  start(release: Release): Promise<void>;
  /** @throws FOUR_EYES, STALE_REVIEW, WRONG_PHASE, ALREADY_DECIDED, UNAVAILABLE */
  decide(
    releaseId: string,
    decision: 'approve' | 'reject',
    request: ApprovalRequest,
    updateId: string,
  ): Promise<ApprovalAnswer>;
  command(
    releaseId: string,
    command: ReleaseCommand,
    request: OperatorRequest,
    updateId: string,
  ): Promise<void>;
  /** How the workflow was ended from outside (`TERMINATED`, `TIMED_OUT`); null while it runs or when it ended by itself. @throws UNAVAILABLE */
  endedFromOutside(releaseId: string): Promise<string | null>;
  /** What the running workflow says; null when none answers in time. */
  view(releaseId: string): Promise<ReleaseView | null>;
  /** Waits for the result. @throws ROLLOUT_IN_PROGRESS, NO_FORMER_CHAMPION, VERSION_REVOKED, UNAVAILABLE … */
  rollback(input: RollbackInput): Promise<RollbackResult>;
}

export interface Readiness {
  readonly name: string;
  readonly check: () => Promise<void>;
}

export interface DataFiles {
  exists(path: string): Promise<boolean>;
}

export interface ApiPorts {
  readonly tokens: TokenStore;
  readonly models: ModelStore;
  readonly releases: ReleaseStore;
  readonly routes: RouteReader;
  readonly versions: VersionReader;
  readonly verifier: VersionVerifier;
  readonly labels: LabelSink;
  readonly experiments: ExperimentReader;
  readonly experimentRuns: ExperimentRuns;
  readonly rewards: RewardSink;
  readonly audit: AuditReader;
  readonly workflows: ReleaseWorkflows;
  readonly dataFiles: DataFiles;
  /** Parts without which the API is not ready. */
  readonly readiness: readonly Readiness[];
  /** Trainers that a manifest may name. */
  readonly trainers: readonly string[];
  /** Prometheus text of this process. */
  readonly metrics: () => Promise<string>;
}

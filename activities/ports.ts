/** What activities need from outside. Each port belongs to the activities that use it; adapters live in `db/`, `data/`, `trainers/`, `platform/`. */
import type { Approval, ModelVersion, VersionDescriptor } from '../domain/registry/model-version.ts';
import type {
  OpenedRelease,
  Release,
  ReleaseEvent,
  ReleaseOutcome,
  ReleasePhase,
} from '../domain/release/release.ts';
import type { ArmCounts } from '../domain/rollout/evidence.ts';
import type { GuardTrip, LiveGateway } from '../domain/rollout/arm-window.ts';
import type { Digest, Route, RouteChange } from '../domain/routing/route.ts';

export interface ReleaseStore {
  /** Binds the release to its manifest and present champion. @throws RELEASE_NOT_FOUND, MODEL_NOT_FOUND */
  open(releaseId: string): Promise<OpenedRelease>;
  get(releaseId: string): Promise<Release>;
  /** Moves the phase and appends a timeline line; the same `key` again is a no-op. */
  record(entry: {
    readonly releaseId: string;
    readonly key: string;
    readonly phase: ReleasePhase;
    readonly message: string;
    readonly detail?: Readonly<Record<string, unknown>>;
    readonly candidate?: Digest;
    readonly outcome?: ReleaseOutcome;
    readonly reason?: string;
  }): Promise<void>;
  timeline(releaseId: string): Promise<readonly ReleaseEvent[]>;
}

export interface VersionStore {
  /** Inserts; the same digest again is a no-op that returns the stored row. */
  register(version: ModelVersion, actor: string): Promise<ModelVersion>;
  get(digest: Digest): Promise<ModelVersion>;
  /** With its approvals, as a gateway loads it. @throws VERSION_NOT_FOUND */
  describe(digest: Digest): Promise<VersionDescriptor>;
  /** Keeps a signed decision; the same approver and subject again is a no-op. */
  recordApproval(approval: Approval): Promise<void>;
  isRevoked(digest: Digest): Promise<boolean>;
}

export interface ChangeRequest {
  readonly endpoint: string;
  /** Refused with EPOCH_FENCED when the stored epoch is higher. */
  readonly epoch: number;
  readonly change: RouteChange;
  /** Refused with GENERATION_CONFLICT when the stored generation differs; absent: the row is locked and read first (restore, rollback). */
  readonly expectedGeneration?: number;
  /** Idempotency key, stable over retries: a change already written under it returns the generation that it made. */
  readonly key: string;
  readonly actor: string;
  readonly reason: string;
  readonly releaseId?: string;
}

export interface RouteStore {
  read(endpoint: string): Promise<Route | null>;
  /** A fencing token higher than every one before. */
  nextEpoch(endpoint: string): Promise<number>;
  /**
   * Writes by compare-and-set, with its audit row and, when the champion changes, the production history, in one
   * transaction; notifies the gateways.
   * @returns the route at the generation that this change made, and whether it is still the present one.
   */
  change(request: ChangeRequest): Promise<{ readonly route: Route; readonly current: boolean }>;
  /** Prolongs the candidate's lease; false when generation or epoch are no longer the present ones. */
  renewLease(lease: {
    readonly endpoint: string;
    readonly generation: number;
    readonly epoch: number;
  }): Promise<boolean>;
  /** Champions that the endpoint has had, newest first, without the present one. */
  formerChampions(endpoint: string): Promise<readonly Digest[]>;
  liveGateways(endpoint: string): Promise<readonly LiveGateway[]>;
  /** Resolves when a gateway acknowledged something or after `timeoutMs`. */
  waitForAcknowledgement(endpoint: string, timeoutMs: number, signal: AbortSignal): Promise<void>;
}

/** Position in each gateway process's sequence of flushes. */
export type Watermark = Readonly<Record<string, number>>;

export interface EvidenceStore {
  /** Sums of the windows of one generation that came after `after`. `shadow` and `canary` rows are the candidate's. */
  windows(query: {
    readonly endpoint: string;
    readonly generation: number;
    readonly after: Watermark;
  }): Promise<{
    readonly watermark: Watermark;
    readonly champion: ArmCounts;
    readonly candidate: ArmCounts;
    /** Age of the newest window of the quietest live gateway, by the database's clock; null when there is none. */
    readonly silentMs: number | null;
  }>;
  /** Labels that have arrived for predictions of one generation: totals, not increments. */
  labels(query: { readonly endpoint: string; readonly generation: number }): Promise<{
    readonly champion: Pick<ArmCounts, 'labelled' | 'wrong'>;
    readonly candidate: Pick<ArmCounts, 'labelled' | 'wrong'>;
  }>;
  /** The first trip of a version at this or a later generation: a gateway keeps the arm out through the steps that follow. */
  trip(query: {
    readonly endpoint: string;
    readonly version: Digest;
    readonly since: number;
  }): Promise<GuardTrip | null>;
  /** Resolves when evidence or a trip arrived for the endpoint (NOTIFY) or after `timeoutMs`. */
  wait(endpoint: string, timeoutMs: number, signal: AbortSignal): Promise<void>;
}

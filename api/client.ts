/**
 * A small typed client of the HTTP API, for the command line and other programs. Refusals are thrown as the
 * SlipwayError that the problem document names; a server that is not there is STACK_NOT_RUNNING.
 */
import { randomUUID } from 'node:crypto';

import type { Problem } from '../domain/errors.ts';
import { SlipwayError, isErrorCode } from '../domain/errors.ts';
import type { ReleaseParameters, Release } from '../domain/release/release.ts';
import type { ExperimentSnapshot, OffPolicyResult } from '../domain/experiments/index.ts';
import type { ApprovalAnswer, ExperimentRunView, RollbackResult } from '../workflows/messages.ts';
import type { AuditRow } from '../domain/registry/audit-chain.ts';
import type { ExperimentDetail } from './experiment-detail.ts';
import type { RewardReceipt } from './experiment-ports.ts';
import type { AppliedModel, LabelReceipt } from './ports.ts';
import type { AuditVerdict } from './schemas/audit.ts';
import type { ProblemDocument } from './schemas/common.ts';
import type { ListedExperiment } from './schemas/experiment.ts';
import type { ModelStatus, ModelSummary } from './schemas/model.ts';
import type { AcceptedRelease, ReleaseDetail } from './schemas/release.ts';
import type { LineageChain, Verification, VersionDetail, VersionSummary } from './schemas/version.ts';

export interface ApiClientOptions {
  /** `http://127.0.0.1:8300` */
  readonly url: string;
  readonly token: string;
  /** Longest wait for one answer; a rollback waits for its gateways. */
  readonly timeoutMs?: number;
}

export interface LabelInput {
  readonly predictionId: string;
  readonly label: 0 | 1;
  /** ISO 8601 */
  readonly observedAt: string;
}

export interface RewardInput {
  readonly predictionId: string;
  /** From 0 to 1. */
  readonly reward: number;
  /** ISO 8601; now without it. */
  readonly observedAt?: string;
}

type CommandPath = 'pause' | 'resume' | 'skip-step' | 'abort' | 'promote-now';

const DEFAULT_TIMEOUT_MS = 100_000;

/** All methods throw SlipwayError. */
export interface ApiClient {
  apply(
    name: string,
    body: {
      readonly manifest: unknown;
      readonly sources?: { readonly manifest?: string; readonly query?: string };
    },
  ): Promise<AppliedModel>;
  models(): Promise<readonly ModelSummary[]>;
  model(name: string): Promise<ModelStatus>;
  versions(model: string): Promise<readonly VersionSummary[]>;
  createRelease(release: {
    readonly model: string;
    readonly parameters?: ReleaseParameters;
    readonly skipShadow?: boolean;
  }): Promise<AcceptedRelease>;
  releases(filter?: { readonly model?: string; readonly limit?: number }): Promise<readonly Release[]>;
  release(id: string): Promise<ReleaseDetail>;
  decide(
    id: string,
    decision: 'approve' | 'reject',
    body: { readonly digest: string; readonly comment?: string },
  ): Promise<ApprovalAnswer>;
  command(id: string, command: CommandPath, reason: string): Promise<void>;
  rollback(model: string, body: { readonly to?: string; readonly reason: string }): Promise<RollbackResult>;
  version(digest: string): Promise<VersionDetail>;
  lineage(digest: string): Promise<LineageChain>;
  verify(digest: string): Promise<Verification>;
  revoke(digest: string, reason: string): Promise<{ readonly digest: string; readonly revoked: true }>;
  labels(labels: readonly LabelInput[]): Promise<LabelReceipt>;
  startExperiment(model: string, name: string): Promise<ExperimentRunView>;
  stopExperiment(model: string, name: string, reason: string): Promise<ExperimentRunView>;
  experiments(model?: string): Promise<readonly ListedExperiment[]>;
  experiment(model: string, name: string): Promise<ExperimentDetail>;
  experimentHistory(model: string, name: string, limit?: number): Promise<readonly ExperimentSnapshot[]>;
  /** `shares`: arm → percent. */
  evaluatePolicy(
    model: string,
    name: string,
    shares: Readonly<Record<string, number>>,
  ): Promise<OffPolicyResult>;
  rewards(rewards: readonly RewardInput[]): Promise<RewardReceipt>;
  audit(query?: { readonly stream?: string; readonly limit?: number }): Promise<readonly AuditRow[]>;
  verifyAudit(): Promise<AuditVerdict>;
}

export function createApiClient(options: ApiClientOptions): ApiClient {
  const get = <T>(path: string): Promise<T> => call<T>(options, 'GET', path);
  // The key lets the network layer send a request again without its being carried out twice.
  const post = <T>(path: string, body?: unknown): Promise<T> =>
    call<T>(options, 'POST', path, body, { 'idempotency-key': randomUUID() });
  const name = encodeURIComponent;
  return {
    apply: (model, body) => call(options, 'PUT', `/v1/models/${name(model)}`, body),
    models: async () => (await get<{ models: readonly ModelSummary[] }>('/v1/models')).models,
    model: (model) => get(`/v1/models/${name(model)}`),
    versions: async (model) =>
      (await get<{ versions: readonly VersionSummary[] }>(`/v1/models/${name(model)}/versions`)).versions,
    createRelease: (release) => post('/v1/releases', release),
    releases: async (filter = {}) =>
      (await get<{ releases: readonly Release[] }>(`/v1/releases?${search(filter)}`)).releases,
    release: async (id) => get(releasePath(id)),
    decide: async (id, decision, body) => post(`${releasePath(id)}/${decision}`, body),
    command: async (id, command, reason) => post(`${releasePath(id)}/${command}`, { reason }),
    rollback: (model, body) => post(`/v1/models/${name(model)}/rollback`, body),
    version: (digest) => get(`/v1/versions/${name(digest)}`),
    lineage: (digest) => get(`/v1/versions/${name(digest)}/lineage`),
    verify: (digest) => post(`/v1/versions/${name(digest)}/verify`),
    revoke: (digest, reason) => post(`/v1/versions/${name(digest)}/revoke`, { reason }),
    labels: (labels) => post('/v1/labels', { labels }),
    startExperiment: (model, experiment) => post(`${experimentPath(model, experiment)}/start`),
    stopExperiment: (model, experiment, reason) =>
      post(`${experimentPath(model, experiment)}/stop`, { reason }),
    experiments: async (model) =>
      (
        await get<{ experiments: readonly ListedExperiment[] }>(
          `/v1/experiments?${search(model === undefined ? {} : { model })}`,
        )
      ).experiments,
    experiment: (model, experiment) => get(experimentPath(model, experiment)),
    experimentHistory: async (model, experiment, limit = 100) =>
      (
        await get<{ snapshots: readonly ExperimentSnapshot[] }>(
          `${experimentPath(model, experiment)}/history?${search({ limit })}`,
        )
      ).snapshots,
    evaluatePolicy: (model, experiment, shares) =>
      post(`${experimentPath(model, experiment)}/evaluate`, { shares }),
    rewards: (rewards) => post('/v1/rewards', { rewards }),
    audit: async (query = {}) =>
      (await get<{ rows: readonly AuditRow[] }>(`/v1/audit?${search(query)}`)).rows,
    verifyAudit: () => get('/v1/audit/verify'),
  };
}

const experimentPath = (model: string, experiment: string): string =>
  `/v1/models/${encodeURIComponent(model)}/experiments/${encodeURIComponent(experiment)}`;

function search(query: object): string {
  return new URLSearchParams(
    Object.entries(query).map(([key, value]): [string, string] => [key, String(value)]),
  ).toString();
}

/** @throws SlipwayError INVALID_REQUEST when it is no release id: `elec2/4`. */
function releasePath(id: string): string {
  const [, model, number] = /^([^/]+)\/(\d+)$/.exec(id) ?? [];
  if (model === undefined || number === undefined) {
    throw new SlipwayError('INVALID_REQUEST', `${id} is not a release id; one looks like elec2/4`);
  }
  return `/v1/releases/${encodeURIComponent(model)}/${number}`;
}

async function call<T>(
  { url, token, timeoutMs = DEFAULT_TIMEOUT_MS }: ApiClientOptions,
  method: string,
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<T> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(new URL(path, url), {
      method,
      headers: {
        accept: 'application/json',
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(timeoutMs),
    });
    text = await response.text();
  } catch (error) {
    throw unreachable(error, url);
  }
  const answer = parse(text);
  if (response.ok && answer !== undefined) return answer as T;
  throw refusal(response.status, answer, path);
}

function unreachable(error: unknown, url: string): SlipwayError {
  if (error instanceof Error && error.name === 'TimeoutError') {
    return new SlipwayError('UNAVAILABLE', `the API at ${url} did not answer in time; try again`, {
      cause: error,
    });
  }
  return new SlipwayError(
    'STACK_NOT_RUNNING',
    `the API at ${url} does not answer; start the stack with \`slipway up\``,
    {
      cause: error,
    },
  );
}

/** Null for an empty body, undefined for one that is not JSON. */
function parse(text: string): unknown {
  if (text === '') return null;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refusal(status: number, answer: unknown, path: string): SlipwayError {
  const document = (answer ?? {}) as Partial<ProblemDocument>;
  if (isErrorCode(document.code)) {
    const problems: readonly Problem[] = Array.isArray(document.problems) ? document.problems : [];
    const internal = document.instance;
    return new SlipwayError(document.code, document.detail ?? document.title ?? document.code, {
      problems,
      ...(internal === undefined ? {} : { internal }),
    });
  }
  return new SlipwayError(
    'INTERNAL',
    `the answer to ${path} (HTTP ${status}) is not of this API; look at its log`,
  );
}

export type { ModelStatus, ModelSummary } from './schemas/model.ts';
export type { ReleaseDetail } from './schemas/release.ts';
export type { LineageChain } from './schemas/version.ts';
export type { ExperimentSnapshot, OffPolicyResult } from '../domain/experiments/index.ts';
export type { ExperimentDetail } from './experiment-detail.ts';
export type { ListedExperiment } from './schemas/experiment.ts';

/** A fresh database with every repository over it, and rows to put in. */
import { createHash } from 'node:crypto';
import { Client } from 'pg';
import type { QueryResultRow } from 'pg';
import {
  CHANNELS,
  createAliasStore,
  createAuditLog,
  createEvidenceSink,
  createEvidenceStore,
  createExperimentRegistry,
  createGatewayRegistry,
  createModelStore,
  createNotifications,
  createReleaseRegistry,
  createRewardSink,
  createRouteFeed,
  createRouteRegistry,
  createTokenStore,
  createTrainingCache,
  createVersionRegistry,
  openDatabase,
} from '../../db/index.ts';
import type { ModelManifest } from '../../domain/manifest/model-manifest.ts';
import { SERVING_DEFAULTS } from '../../domain/manifest/serving-spec.ts';
import type { Approval, DsseEnvelope, ModelVersion } from '../../domain/registry/index.ts';
import type { Digest } from '../../domain/routing/route.ts';
import { freshDatabase } from '../support/stack.ts';

export const MODEL = 'elec2';

export const digestOf = (label: string): Digest =>
  `sha256:${createHash('sha256').update(label).digest('hex')}`;

export const ENVELOPE: DsseEnvelope = {
  payload: 'e30=',
  payloadType: 'application/vnd.in-toto+json',
  signatures: [{ sig: 'c2ln', keyid: '' }],
};

export function manifestOf(overrides: Partial<ModelManifest> = {}): ModelManifest {
  return {
    name: MODEL,
    description: 'Whether the price goes up',
    owner: 'grid',
    task: 'binary-classification',
    riskTier: 'low',
    features: [{ name: 'nswprice', min: 0, max: 1 }, { name: 'nswdemand' }],
    target: 'up',
    data: { file: 'elec2.csv.gz', query: 'select * from source' },
    trainer: { name: 'gbdt', seed: 7, parameters: { trees: 50 } },
    gates: [],
    guardrails: [{ name: 'errors', tolerance: 0.2, margin: 2, negligibleRate: 0.001 }],
    slo: { latencyMs: 50 },
    approval: { timeoutSeconds: 60, validSeconds: 3600 },
    rollout: {
      shadow: {
        mirror: 100,
        minDurationSeconds: 1,
        maxDurationSeconds: 60,
        minSamples: 10,
        scoreTolerance: 0.05,
      },
      steps: [{ weight: 25, minDurationSeconds: 1, maxDurationSeconds: 60, minSamples: 10 }],
      onInconclusive: 'rollback',
      askTimeoutSeconds: 60,
      leaseSeconds: 10,
      guardForSeconds: 3600,
    },
    serving: SERVING_DEFAULTS,
    featureViews: [],
    experiments: [],
    ...overrides,
  };
}

export function versionOf(label: string, releaseId = `${MODEL}/1`, model = MODEL): ModelVersion {
  return {
    digest: digestOf(label),
    model,
    files: [{ name: 'model.onnx', digest: digestOf(`${label}/model.onnx`), size: 1234 }],
    signature: {
      inputs: [{ name: 'features', datatype: 'FP32', shape: [-1, 2] }],
      outputs: [{ name: 'score', datatype: 'FP32', shape: [-1] }],
    },
    bundle: {
      mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
      verificationMaterial: { publicKey: { hint: 'ab'.repeat(32) }, tlogEntries: [] },
      dsseEnvelope: ENVELOPE,
    },
    lineage: {
      releaseId,
      trainer: 'gbdt',
      data: { source: digestOf('source'), snapshot: digestOf('snapshot'), rows: 17_424 },
      code: digestOf('code'),
      environment: digestOf('environment'),
      parameters: { trees: 50 },
      seed: 7,
      comparedWith: null,
    },
    createdAt: '1997-05-01T00:00:00.123Z',
  };
}

export function approvalOf(label: string, approver: string, overrides: Partial<Approval> = {}): Approval {
  return {
    model: MODEL,
    subjectDigest: digestOf(label),
    policyDigest: digestOf('policy'),
    evidenceDigest: digestOf('evidence'),
    decision: 'approved',
    approver,
    comment: 'looks right',
    decidedAt: '1997-05-01T00:00:00.000Z',
    expiresAt: '1997-05-08T00:00:00.000Z',
    requiredApprovals: 1,
    envelope: ENVELOPE,
    ...overrides,
  };
}

export type RegistryFixture = Awaited<ReturnType<typeof openRegistry>>;

/** @param labels versions to register for the model, which has one release */
export async function openRegistry(labels: readonly string[] = [], connections = 10) {
  const fresh = await freshDatabase();
  const url = fresh.databaseUrl;
  const db = openDatabase({ databaseUrl: url, applicationName: 'slipway-test', maxConnections: connections });
  const notifications = createNotifications(url, [CHANNELS.evidence, CHANNELS.acknowledgements]);
  await notifications.firstAttempt;
  const registry = {
    url,
    db,
    notifications,
    aliases: createAliasStore(db),
    audit: createAuditLog(db),
    evidence: createEvidenceStore(db, notifications),
    experiments: createExperimentRegistry(db),
    rewards: createRewardSink(db),
    sink: createEvidenceSink(db),
    gateways: createGatewayRegistry(db),
    feed: createRouteFeed(db, url),
    models: createModelStore(db),
    releases: createReleaseRegistry(db),
    routes: createRouteRegistry(db, notifications),
    tokens: createTokenStore(db),
    training: createTrainingCache(db),
    versions: createVersionRegistry(db),
    async close(): Promise<void> {
      await notifications.close();
      await db.close();
      await fresh.drop();
    },
  };
  if (labels.length > 0) {
    await registry.models.apply(manifestOf(), 'ann');
    await registry.releases.create({ model: MODEL, parameters: {}, skipShadow: false, submittedBy: 'ann' });
    for (const label of labels) await registry.versions.register(versionOf(label), 'worker');
  }
  return registry;
}

/** Statements of someone who owns the database and switches its triggers off: what the audit chain is there for. */
export async function tamper(url: string, ...statements: readonly string[]): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query('set session_replication_role = replica');
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

export async function query<Row extends object>(
  { db }: Pick<RegistryFixture, 'db'>,
  text: string,
  values: readonly unknown[] = [],
): Promise<readonly Row[]> {
  const { rows } = await db.pool.query<Row & QueryResultRow>(text, [...values]);
  return rows;
}

/** Whether an error carries this Slipway code; for `assert.rejects`. */
export const withCode = (code: string) => (error: unknown) =>
  error instanceof Error && 'code' in error && error.code === code;

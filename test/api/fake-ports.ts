/** Plain-object ports with just enough memory to drive the routes; the story test drives them for real. */
import type { ApiPorts, ReleaseCommand, Role, StoredModel } from '../../api/ports.ts';
import type { StoredExperiment } from '../../api/experiment-ports.ts';
import { SlipwayError } from '../../domain/errors.ts';
import { startExperiment } from '../../domain/experiments/index.ts';
import type { Route } from '../../domain/routing/route.ts';
import type { ModelManifest } from '../../domain/manifest/model-manifest.ts';
import type { ModelVersion } from '../../domain/registry/model-version.ts';
import type { Release } from '../../domain/release/release.ts';
import type { LabelRow } from '../../domain/rollout/arm-window.ts';
import type { ReleaseView } from '../../workflows/messages.ts';

export const TOKENS: Readonly<Record<Role, string>> = {
  viewer: `slw_${'v'.repeat(43)}`,
  engineer: `slw_${'e'.repeat(43)}`,
  approver: `slw_${'a'.repeat(43)}`,
  operator: `slw_${'o'.repeat(43)}`,
  admin: `slw_${'d'.repeat(43)}`,
  service: `slw_${'s'.repeat(43)}`,
};

export const CANDIDATE = `sha256:${'c'.repeat(64)}`;
export const CHAMPION = `sha256:${'b'.repeat(64)}`;
const AT = '1997-05-07T00:00:00.000Z';
const hex = (letter: string): string => `sha256:${letter.repeat(64)}`;

export interface Call {
  readonly port: string;
  readonly args: readonly unknown[];
}

export interface FakePorts extends ApiPorts {
  /** What the routes asked the durable side for, in order. */
  readonly calls: Call[];
  readonly stored: LabelRow[];
  /** Throws from every port when set. */
  broken: Error | null;
}

export const version: ModelVersion = {
  digest: CANDIDATE,
  model: 'elec2',
  files: [{ name: 'model.onnx', digest: hex('1'), size: 12 }],
  signature: {
    inputs: [{ name: 'features', datatype: 'FP32', shape: [-1, 7] }],
    outputs: [{ name: 'score', datatype: 'FP32', shape: [-1] }],
  },
  bundle: {
    mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
    verificationMaterial: { publicKey: { hint: 'f'.repeat(64) }, tlogEntries: [] },
    dsseEnvelope: { payload: '', payloadType: '', signatures: [{ sig: '', keyid: '' }] },
  },
  lineage: {
    releaseId: 'elec2/1',
    trainer: 'gbt',
    data: { source: hex('2'), snapshot: hex('3'), rows: 17_000 },
    code: hex('4'),
    environment: hex('5'),
    parameters: { rounds: 100 },
    seed: 1,
    comparedWith: CHAMPION,
  },
  createdAt: AT,
};

export function release(number: number, changes: Partial<Release> = {}): Release {
  return {
    id: `elec2/${number}`,
    model: 'elec2',
    endpoint: 'elec2',
    manifestDigest: hex('a'),
    parameters: {},
    skipShadow: false,
    submittedBy: 'engineer',
    phase: 'approve',
    outcome: null,
    reason: null,
    candidate: CANDIDATE,
    bootstrap: false,
    createdAtMs: 862_963_200_000,
    updatedAtMs: 862_963_200_000,
    ...changes,
  };
}

const view: ReleaseView = {
  releaseId: 'elec2/1',
  phase: 'approve',
  outcome: null,
  reason: null,
  candidate: CANDIDATE,
  bootstrap: false,
  approvalsNeeded: 1,
  decisions: [],
  paused: false,
  step: null,
  steps: [],
  waitingFor: 'approval',
};

const auditRow = {
  seq: 1,
  at: AT,
  actor: 'engineer',
  action: 'model.apply',
  subject: 'elec2',
  detail: {},
  prevHash: hex('0'),
  hash: hex('8'),
};

const experiment: StoredExperiment = {
  endpoint: 'elec2',
  name: 'prices',
  plan: {
    name: 'prices',
    hypothesis: 'b earns more',
    arms: [
      { name: 'a', version: 'champion' },
      { name: 'b', version: 'next' },
    ],
    policy: { kind: 'bandit', algorithm: 'discounted-thompson', gamma: 0.9999, floor: 0.05, stepBp: 1000 },
    metric: { kind: 'conversion', absent: 'unknown' },
    alpha: 0.05,
    minSamples: 1000,
    minimumEffect: 0.01,
    maxDurationMs: 86_400_000,
    rewardWindowMs: 3_600_000,
    leaseMs: 300_000,
  },
  arms: [
    { name: 'a', version: CHAMPION },
    { name: 'b', version: CANDIDATE },
  ],
  generation: 3,
  outcome: null,
  reason: null,
  winner: null,
  startedBy: 'engineer',
  startedAtMs: 1,
  endedAtMs: null,
};

const route: Route = {
  endpoint: 'elec2',
  generation: 3,
  epoch: 2,
  champion: CHAMPION,
  candidate: { version: CANDIDATE, weightBp: 500, mirrorBp: 0, salt: 'elec2/1', leaseMs: 15_000 },
  standby: null,
  experiment: null,
};

export function fakePorts(): FakePorts {
  const calls: Call[] = [];
  const stored: LabelRow[] = [];
  const releases = new Map([['elec2/1', release(1)]]);
  const models = new Map<string, StoredModel>();
  models.set('elec2', {
    name: 'elec2',
    manifestDigest: hex('a'),
    createdAtMs: 862_963_200_000,
    updatedAtMs: 862_963_200_000,
    manifest: { name: 'elec2' } as ModelManifest,
  });
  const revoked = new Set<string>();
  const missing = (code: 'MODEL_NOT_FOUND' | 'RELEASE_NOT_FOUND', name: string): never => {
    throw new SlipwayError(code, `there is no ${name}`);
  };

  const ports: Omit<FakePorts, 'broken'> = {
    calls,
    stored,
    tokens: {
      async find(token) {
        const role = Object.entries(TOKENS).find(([, known]) => known === token)?.[0];
        return role === undefined ? null : { actor: role, role: role as Role };
      },
      add: async () => undefined,
    },
    models: {
      async apply(manifest) {
        const applied = { name: manifest.name, manifestDigest: hex('a') };
        models.set(manifest.name, { ...applied, manifest, createdAtMs: 1, updatedAtMs: 1 });
        return { ...applied, changed: true };
      },
      list: async () => [...models.values()],
      get: async (name) => models.get(name) ?? missing('MODEL_NOT_FOUND', name),
    },
    releases: {
      async create({ model, parameters, skipShadow, submittedBy }) {
        if (!models.has(model)) return missing('MODEL_NOT_FOUND', model);
        const made = release(releases.size + 1, { parameters, skipShadow, submittedBy, phase: 'snapshot' });
        releases.set(made.id, made);
        return made;
      },
      get: async (id) => releases.get(id) ?? missing('RELEASE_NOT_FOUND', id),
      list: async ({ model, limit }) =>
        [...releases.values()].filter((one) => model === undefined || one.model === model).slice(0, limit),
      record: async ({ releaseId, outcome, reason }) => {
        const found = releases.get(releaseId) ?? missing('RELEASE_NOT_FOUND', releaseId);
        releases.set(releaseId, { ...found, phase: 'done', outcome, reason });
      },
      timeline: async () => [
        { atMs: 1, phase: 'snapshot', message: 'snapshot of 10 rows', detail: { rows: 10 } },
      ],
    },
    routes: {
      read: async (endpoint) => ({ ...route, endpoint }),
      history: async () => [{ after: { ...route, champion: CANDIDATE }, atMs: 1 }],
      liveGateways: async (endpoint) => [
        {
          gatewayId: 'g1',
          url: 'http://127.0.0.1:8301',
          acknowledgement: {
            gatewayId: 'g1',
            endpoint,
            generation: 3,
            versions: {
              [CHAMPION]: { state: 'ready' },
              [CANDIDATE]: { state: 'refused', code: 'X', message: 'y' },
            },
          },
        },
      ],
    },
    versions: {
      list: async () => [{ version, number: 2, revoked: false }],
      async find(reference) {
        const prefix = reference.startsWith('sha256:') ? reference : `sha256:${reference}`;
        const digest = [CANDIDATE, CHAMPION].find((known) => known.startsWith(prefix));
        if (digest === undefined)
          throw new SlipwayError('VERSION_NOT_FOUND', `there is no version ${reference}`);
        return { version: { ...version, digest }, number: 2, revoked: revoked.has(digest) };
      },
      approvals: async () => [
        {
          model: 'elec2',
          subjectDigest: CANDIDATE,
          policyDigest: hex('6'),
          evidenceDigest: hex('7'),
          decision: 'approved',
          approver: 'approver',
          comment: 'fine',
          decidedAt: AT,
          expiresAt: AT,
          requiredApprovals: 1,
          envelope: version.bundle.dsseEnvelope,
        },
      ],
      revoke: async ({ subject }) => void revoked.add(subject),
    },
    verifier: {
      problems: async () => [
        { code: 'FILE_DIGEST_MISMATCH', path: '', file: 'model.onnx', reason: 'other bytes' },
      ],
    },
    labels: {
      async addLabels(rows) {
        stored.push(...rows);
        return { accepted: rows.length, unknown: 0, duplicates: 0, conflicting: 0 };
      },
    },
    experiments: {
      list: async () => [experiment],
      async get({ name }) {
        if (name !== experiment.name) throw new SlipwayError('EXPERIMENT_NOT_FOUND', `there is no ${name}`);
        return experiment;
      },
      snapshots: async () => [startExperiment(experiment.plan, 1)],
      tally: async () => ({
        received: 3,
        counted: 1,
        late: 1,
        invalid: 0,
        waiting: 1,
        duplicate: 2,
        conflicting: 1,
      }),
      decisionsBySnapshot: async () => [{ sharesBp: [5000, 5000], decisions: [10, 12] }],
      logged: async () => [
        { arm: 0, propensity: 0.5, reward: 0 },
        { arm: 1, propensity: 0.5, reward: 1 },
      ],
    },
    experimentRuns: {
      async start(input) {
        calls.push({ port: 'startExperiment', args: [input] });
        if (input.name === 'busy') throw new SlipwayError('EXPERIMENT_RUNNING', 'another one runs');
        return { generation: 4, open: true, stopping: null, end: null };
      },
      async stop(name, request) {
        calls.push({ port: 'stopExperiment', args: [name, request] });
        const end = { outcome: 'stopped', reason: request.reason, winner: null } as const;
        return { generation: 4, open: true, stopping: request.reason, end };
      },
    },
    rewards: {
      async addRewards(rows) {
        calls.push({ port: 'rewards', args: [rows] });
        return { accepted: rows.length, duplicate: 0, conflicting: 0 };
      },
    },
    audit: {
      list: async ({ stream, limit }) => [{ ...auditRow, stream }].slice(0, limit),
      verify: async () => ({
        ok: false,
        rows: 2,
        streams: 1,
        checkpoints: 0,
        broken: [{ stream: 'elec2', seq: 2, kind: 'altered', reason: 'the row does not have its hash' }],
      }),
    },
    workflows: {
      start: async (made) => void calls.push({ port: 'start', args: [made.id] }),
      endedFromOutside: async () => null,
      async decide(id, decision, request, updateId) {
        calls.push({ port: decision, args: [id, request, updateId] });
        if (request.actor === 'engineer') throw new SlipwayError('FOUR_EYES', 'engineer submitted it');
        if (request.digest !== CANDIDATE)
          throw new SlipwayError('STALE_REVIEW', 'another digest is under review');
        return { approved: 1, needed: 1 };
      },
      async command(id, command: ReleaseCommand, request, updateId) {
        calls.push({ port: command, args: [id, request, updateId] });
        if (command === 'resume') throw new SlipwayError('WRONG_PHASE', 'cannot resume: it is not paused');
      },
      view: async () => view,
      async rollback(input) {
        calls.push({ port: 'rollback', args: [input] });
        return {
          from: CHAMPION,
          to: input.to ?? CANDIDATE,
          generation: 4,
          milliseconds: 120,
          wasStandby: true,
        };
      },
    },
    dataFiles: { exists: async (path) => !path.includes('missing') },
    readiness: [{ name: 'database', check: async () => undefined }],
    trainers: ['gbt', 'mlp'],
    metrics: async () => '# TYPE up gauge\nup 1\n',
  };
  return breakable(ports);
}

/** Every call of every port throws `broken` while it is set. */
function breakable(ports: Omit<FakePorts, 'broken'>): FakePorts {
  const state: { broken: Error | null } = { broken: null };
  const guarded = new Set([
    'models',
    'releases',
    'routes',
    'versions',
    'verifier',
    'labels',
    'experiments',
    'experimentRuns',
    'rewards',
    'audit',
    'workflows',
  ]);
  const proxied = Object.fromEntries(
    Object.entries(ports).map(([name, port]) => [
      name,
      guarded.has(name) ? throwing(port as object, state) : port,
    ]),
  );
  return Object.defineProperty(proxied, 'broken', {
    get: () => state.broken,
    set: (error: Error | null) => {
      state.broken = error;
    },
  }) as unknown as FakePorts;
}

function throwing(port: object, state: { readonly broken: Error | null }): object {
  return new Proxy(port, {
    get(target, key): unknown {
      const method: unknown = Reflect.get(target, key);
      if (state.broken === null || typeof method !== 'function') return method;
      const error = state.broken;
      return () => Promise.reject(error);
    },
  });
}

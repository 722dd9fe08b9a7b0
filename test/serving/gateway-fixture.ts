/** A real gateway with real ONNX models, real signatures and a real blob store, on a free port. */
import { mkdtemp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rootDigest } from '../../domain/registry/index.ts';
import { createLoopProbe } from '../../serving/admission/index.ts';
import type { LoopProbe } from '../../serving/admission/index.ts';
import type { FileEntry, Lineage, TensorSignature, VersionDescriptor } from '../../domain/registry/index.ts';
import { createBlobStore } from '../../platform/blobs.ts';
import type { BlobStore } from '../../platform/blobs.ts';
import { systemClock } from '../../platform/clock.ts';
import { generatePrivateKeyPem, signingKey } from '../../platform/keys.ts';
import type { SigningKey } from '../../platform/keys.ts';
import { projectRoot } from '../../platform/root.ts';
import { sha256 } from '../../platform/sha256.ts';
import { signApproval, signVersion } from '../../platform/signing.ts';
import { createGateway } from '../../serving/gateway.ts';
import type { Gateway, GatewayOptions } from '../../serving/gateway.ts';
import { NO_LOG } from '../../serving/log.ts';
import { NO_METRICS } from '../../serving/metrics.ts';
import { servedTensors } from '../../domain/registry/served-tensors.ts';
import { NO_TRACER } from '../../serving/tracing.ts';
import { createRng } from '../support/rng.ts';
import { ControlPlane, ENDPOINT } from './control-plane.ts';

export type ModelName =
  'linear' | 'shifted' | 'fails-on-some' | 'nan-on-some' | 'mixes-rows' | 'wrong-signature';

const LINEAGE: Lineage = {
  releaseId: 'release/toy/1',
  trainer: 'fixture',
  data: { source: `sha256:${'a'.repeat(64)}`, snapshot: `sha256:${'b'.repeat(64)}`, rows: 1 },
  code: `sha256:${'c'.repeat(64)}`,
  environment: `sha256:${'d'.repeat(64)}`,
  parameters: {},
  seed: 1,
  comparedWith: null,
};

export class GatewayFixture {
  readonly home: string;
  readonly blobs: BlobStore;
  readonly key: SigningKey;
  readonly control = new ControlPlane();
  readonly #running: Gateway[] = [];

  static async create(): Promise<GatewayFixture> {
    const home = await mkdtemp(join(tmpdir(), 'slipway-gateway-'));
    const key = signingKey(generatePrivateKeyPem());
    await mkdir(join(home, 'trusted'));
    await writeFile(join(home, 'trusted', 'key.pem'), key.publicPem);
    return new GatewayFixture(home, key);
  }

  private constructor(home: string, key: SigningKey) {
    this.home = home;
    this.key = key;
    this.blobs = createBlobStore(join(home, 'blobs'));
  }

  /** A signed and approved version; another `note` is another version with the same model. */
  async version(
    model: ModelName | Uint8Array,
    {
      note = '',
      endpoint = ENDPOINT,
      tensors = servedTensors(3),
    }: { note?: string; endpoint?: string; tensors?: TensorSignature } = {},
  ): Promise<VersionDescriptor> {
    const bytes = typeof model === 'string' ? await modelBytes(model) : model;
    const files: FileEntry[] = [
      { name: 'model.onnx', ...(await this.blobs.put(bytes)) },
      { name: 'note.txt', ...(await this.blobs.put(Buffer.from(note))) },
    ];
    const digest = rootDigest(files, sha256);
    const scope = {
      model: endpoint,
      subjectDigest: digest,
      policyDigest: `sha256:${'1'.repeat(64)}`,
      evidenceDigest: `sha256:${'2'.repeat(64)}`,
    };
    const approval = signApproval(
      {
        ...scope,
        decision: 'approved',
        approver: 'ada',
        comment: '',
        decidedAt: '2026-01-01T00:00:00.000Z',
        expiresAt: '2026-01-08T00:00:00.000Z',
        requiredApprovals: 1,
      },
      this.key,
    );
    return {
      digest,
      model: endpoint,
      files,
      tensors,
      bundle: signVersion({ model: endpoint, files, tensors, lineage: LINEAGE }, this.key),
      approvals: [approval.envelope],
      requiredApprovals: 1,
      policyDigest: scope.policyDigest,
      evidenceDigest: scope.evidenceDigest,
    };
  }

  async start(changes: Partial<GatewayOptions> = {}): Promise<Client> {
    const { feed, sink, registry } = this.control;
    const { settings, ...others } = changes;
    const random = createRng(7);
    const gateway = createGateway({
      gatewayId: 'host:1',
      stateFolder: join(this.home, 'gateways'),
      blobRoot: join(this.home, 'blobs'),
      trustedKeysFolder: join(this.home, 'trusted'),
      feed,
      sink,
      registry,
      clock: systemClock,
      loopProbe: calmLoop(),
      // Tests of admission make their own: no other test is about requests that a slow machine cannot take.
      admission: { minLimit: 512, waitShare: 100 },
      rng: () => random.next(),
      metrics: NO_METRICS,
      tracer: NO_TRACER,
      log: NO_LOG,
      version: '0.0.0',
      settings: { pollMs: 100, flushMs: 50, acknowledgeMs: 50, drainMs: 500, ...settings },
      ...others,
    });
    this.#running.push(gateway);
    const { url } = await gateway.listen({ host: '127.0.0.1', port: 0 });
    return new Client(url, gateway);
  }

  /** With a champion that is ready. */
  async startServing(
    changes: Partial<GatewayOptions> = {},
  ): Promise<{ client: Client; champion: VersionDescriptor }> {
    const champion = await this.version('linear');
    this.control.route({ champion });
    const client = await this.start(changes);
    await client.ready();
    return { client, champion };
  }

  async remove(): Promise<void> {
    for (const gateway of this.#running) await gateway.close();
    await rm(this.home, { recursive: true, force: true });
  }
}

/** An event loop with time to spare, so that nothing is shed or dropped because the machine is busy with other tests. */
function calmLoop(): LoopProbe {
  const probe = createLoopProbe();
  return { ...probe, sample: () => ({ ...probe.sample(), utilization: 0.1, delayP99Ms: 0 }) };
}

/** Every field that any answer has; an assertion fails on what is not there. */
export interface ReplyBody {
  readonly model_name: string;
  readonly model_version: string;
  readonly id?: string;
  readonly parameters: { readonly prediction_id: string; readonly arm: string; readonly generation: number };
  readonly outputs: readonly ReplyTensor[];
  readonly error: string;
  readonly code: string;
  readonly retryable: boolean;
}

export interface ReplyTensor {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly body: ReplyBody;
}

export class Client {
  readonly url: string;
  readonly gateway: Gateway;

  constructor(url: string, gateway: Gateway) {
    this.url = url;
    this.gateway = gateway;
  }

  async send(path: string, init: RequestInit = {}): Promise<Reply> {
    const response = await fetch(this.url + path, init);
    const text = await response.text();
    const json = response.headers.get('content-type')?.startsWith('application/json') === true;
    return {
      status: response.status,
      headers: response.headers,
      body: (json ? JSON.parse(text) : {}) as ReplyBody,
    };
  }

  post(
    body: unknown,
    { version = '', headers = {} }: { version?: string; headers?: Record<string, string> } = {},
  ): Promise<Reply> {
    const path = `/v2/models/${ENDPOINT}${version === '' ? '' : `/versions/${version}`}/infer`;
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    return this.send(path, {
      method: 'POST',
      body: text,
      headers: { 'content-type': 'application/json', ...headers },
    });
  }

  predict(row: readonly number[] = [1, 2, 3], unit?: string): Promise<Reply> {
    return this.post(request([row], unit === undefined ? {} : { parameters: { unit } }));
  }

  ready(): Promise<void> {
    return eventually(() => this.gateway.isReady(), 'the gateway is ready');
  }
}

export function request(rows: readonly (readonly number[])[], more: object = {}): object {
  const shape = [rows.length, rows[0]?.length ?? 0];
  return { inputs: [{ name: 'features', datatype: 'FP32', shape, data: rows.flat() }], ...more };
}

/** What the reference model answers, computed apart from ONNX Runtime. */
export function linear([a = 0, b = 0, c = 0]: readonly number[], bias = 0.1): number {
  return 1 / (1 + Math.exp(-(0.8 * a - 0.5 * b + 0.3 * c + bias)));
}

export function modelBytes(name: ModelName): Promise<Uint8Array> {
  return readFile(join(projectRoot(), 'test', 'fixtures', 'models', `${name}.onnx`));
}

/** Waits until `check` holds; polls fast, because what it waits for happens within a few turns of the event loop. */
export async function eventually(
  check: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 5000,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await check())) {
    if (performance.now() > end) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

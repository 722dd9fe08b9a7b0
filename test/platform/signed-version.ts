/** A signed, approved model version in a folder and in a blob store: what the tamper tests take apart. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type {
  Approval,
  ApprovalDecision,
  FileEntry,
  Lineage,
  Revocations,
  TensorSignature,
  VersionDescriptor,
} from '../../domain/registry/index.ts';
import { rootDigest } from '../../domain/registry/index.ts';
import { createBlobStore } from '../../platform/blobs.ts';
import type { BlobStore } from '../../platform/blobs.ts';
import { generatePrivateKeyPem, signingKey } from '../../platform/keys.ts';
import type { SigningKey, TrustedKeys } from '../../platform/keys.ts';
import { sha256 } from '../../platform/sha256.ts';
import { signApproval, signVersion } from '../../platform/signing.ts';

const digest = (character: string): string => `sha256:${character.repeat(64)}`;

export const CONTENT: Readonly<Record<string, string>> = {
  'model.onnx': 'not really a model, but the bytes matter',
  'metrics.json': '{"auc":0.9}',
  'card/README.md': 'what it is for',
};

export const TENSORS: TensorSignature = {
  inputs: [{ name: 'features', datatype: 'FP32', shape: [-1, 7] }],
  outputs: [{ name: 'probability', datatype: 'FP32', shape: [-1, 1] }],
};

export const LINEAGE: Lineage = {
  releaseId: 'release/elec2/1',
  trainer: 'gradient-boosting',
  data: { source: digest('a'), snapshot: digest('b'), rows: 17_000 },
  code: digest('c'),
  environment: digest('d'),
  parameters: { depth: 4, rate: 0.1 },
  seed: 1,
  comparedWith: null,
};

export const NOW = Date.parse('2026-03-01T00:00:00.000Z');

export const NOTHING_REVOKED: Revocations = { digests: new Set(), keyIds: new Set() };

export interface SignedVersion {
  /** Removed by `remove()`. */
  readonly home: string;
  readonly folder: string;
  readonly store: BlobStore;
  readonly key: SigningKey;
  readonly trustedKeys: TrustedKeys;
  readonly descriptor: VersionDescriptor;
  /** An approval of this version, changed in some fields, signed by any key. */
  approve(change?: Partial<ApprovalDecision>, key?: SigningKey): Approval;
  remove(): Promise<void>;
}

export function newKey(): SigningKey {
  return signingKey(generatePrivateKeyPem());
}

export async function makeSignedVersion(content = CONTENT): Promise<SignedVersion> {
  const home = await mkdtemp(join(tmpdir(), 'slipway-signed-'));
  const folder = join(home, 'version');
  const store = createBlobStore(join(home, 'blobs'));
  const key = newKey();
  const files: FileEntry[] = [];
  for (const [name, text] of Object.entries(content)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
    files.push({ name, ...(await store.put({ path: join(folder, name) })) });
  }
  const root = rootDigest(files, sha256);
  const approve: SignedVersion['approve'] = (change = {}, by = key) => {
    const decision: ApprovalDecision = {
      model: 'elec2',
      subjectDigest: root,
      policyDigest: digest('1'),
      evidenceDigest: digest('2'),
      decision: 'approved',
      approver: 'ada',
      comment: '',
      decidedAt: '2026-01-01T10:00:00.000Z',
      expiresAt: '2026-01-08T10:00:00.000Z',
      requiredApprovals: 1,
    };
    return signApproval({ ...decision, ...change }, by);
  };
  const descriptor: VersionDescriptor = {
    digest: root,
    model: 'elec2',
    files,
    tensors: TENSORS,
    bundle: signVersion({ model: 'elec2', files, tensors: TENSORS, lineage: LINEAGE }, key),
    approvals: [approve().envelope],
    requiredApprovals: 1,
    policyDigest: digest('1'),
    evidenceDigest: digest('2'),
  };
  const trustedKeys = new Map([[key.keyId, key]]);
  const remove = (): Promise<void> => rm(home, { recursive: true, force: true });
  return { home, folder, store, key, trustedKeys, descriptor, approve, remove };
}

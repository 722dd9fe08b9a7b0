import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFile, mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { SlipwayError } from '../../domain/errors.ts';
import type { SigstoreBundle } from '../../domain/registry/index.ts';
import type { SigningKey } from '../../platform/keys.ts';
import type { VersionCheck, VersionToVerify } from '../../platform/signing.ts';
import {
  checkVersion,
  lineageDigest,
  signCheckpoint,
  signVersion,
  verifyApproval,
  verifyCheckpoint,
  verifyVersion,
} from '../../platform/signing.ts';
import { listedFiles, readFolder } from '../../platform/version-files.ts';
import type { SignedVersion } from './signed-version.ts';
import { CONTENT, LINEAGE, makeSignedVersion, newKey } from './signed-version.ts';

const NO_KEYS: ReadonlySet<string> = new Set();

function found(check: VersionCheck): string[] {
  return check.ok
    ? []
    : check.problems.map(({ code, file }) => (file === undefined ? code : `${code} ${file}`));
}

function withHint(bundle: SigstoreBundle, hint: string): SigstoreBundle {
  return { ...bundle, verificationMaterial: { publicKey: { hint }, tlogEntries: [] } };
}

function withEnvelope(bundle: SigstoreBundle, change: object): unknown {
  return { ...bundle, dsseEnvelope: { ...bundle.dsseEnvelope, ...change } };
}

describe('verification of a version in a folder', () => {
  let v: SignedVersion;
  beforeEach(async () => {
    v = await makeSignedVersion();
  });
  afterEach(() => v.remove());

  const check = async (change: Partial<VersionToVerify> = {}): Promise<string[]> => {
    const files = await readFolder(v.folder);
    const { trustedKeys, descriptor } = v;
    return found(
      await checkVersion({
        files,
        bundle: descriptor.bundle,
        trustedKeys,
        revokedKeyIds: NO_KEYS,
        ...change,
      }),
    );
  };

  it('passes and hands out the bytes that it hashed, even when the files change right after', async () => {
    const files = await readFolder(v.folder);
    const version = await verifyVersion({
      files,
      bundle: v.descriptor.bundle,
      expectedRoot: v.descriptor.digest,
      trustedKeys: v.trustedKeys,
      revokedKeyIds: NO_KEYS,
    });
    await writeFile(join(v.folder, 'model.onnx'), 'something else');
    for (const [name, content] of Object.entries(CONTENT)) {
      assert.equal(Buffer.from(version.bytesOf(name)).toString(), content);
    }
    assert.throws(() => version.bytesOf('other'), { code: 'FILE_MISSING' });
    assert.equal(version.keyId, v.key.keyId);
    assert.equal(version.statement.root, v.descriptor.digest);
    assert.equal(version.statement.facts?.['lineageDigest'], lineageDigest(LINEAGE));
  });

  it('reads each file exactly once', async () => {
    const files = await readFolder(v.folder);
    const reads: string[] = [];
    const counted = { ...files, read: (name: string) => (reads.push(name), files.read(name)) };
    assert.deepEqual(await check({ files: counted }), []);
    assert.deepEqual(reads.sort(), Object.keys(CONTENT).sort());
  });

  it('passes with the signature and the repository beside the files, as the tool writes them', async () => {
    await writeFile(join(v.folder, 'model.sig'), JSON.stringify(v.descriptor.bundle));
    await mkdir(join(v.folder, '.git'));
    await writeFile(join(v.folder, '.git', 'HEAD'), '');
    await mkdir(join(v.folder, 'empty'));
    assert.deepEqual(await check(), []);
  });

  it('refuses any flipped bit of any file', async () => {
    for (const name of Object.keys(CONTENT)) {
      const original = await readFile(join(v.folder, name));
      for (const at of [0, original.length >> 1, original.length - 1]) {
        const flipped = Buffer.from(original);
        flipped[at] = (flipped[at] ?? 0) ^ 1;
        await writeFile(join(v.folder, name), flipped);
        assert.deepEqual(await check(), [`FILE_DIGEST_MISMATCH ${name}`]);
      }
      await writeFile(join(v.folder, name), original);
    }
  });

  const tampers: readonly (readonly [string, (folder: string) => unknown, readonly string[]])[] = [
    ['an appended byte', (f) => appendFile(join(f, 'model.onnx'), '\0'), ['FILE_DIGEST_MISMATCH model.onnx']],
    ['a truncated file', (f) => writeFile(join(f, 'model.onnx'), ''), ['FILE_DIGEST_MISMATCH model.onnx']],
    ['an extra file', (f) => writeFile(join(f, 'card/hook.py'), ''), ['FILE_UNSIGNED card/hook.py']],
    ['a missing file', (f) => rm(join(f, 'metrics.json')), ['FILE_MISSING metrics.json']],
    [
      'a renamed file',
      (f) => rename(join(f, 'model.onnx'), join(f, 'other.onnx')),
      ['FILE_MISSING model.onnx', 'FILE_UNSIGNED other.onnx'],
    ],
    [
      'a file renamed in case only',
      (f) => rename(join(f, 'model.onnx'), join(f, 'Model.onnx')),
      ['FILE_MISSING model.onnx', 'FILE_UNSIGNED Model.onnx'],
    ],
    ['a file replaced by a link to the same bytes', linkInstead, ['SYMLINK_REFUSED model.onnx']],
    ['an extra symbolic link', (f) => symlink('model.onnx', join(f, 'latest')), ['SYMLINK_REFUSED latest']],
    ['a dangling symbolic link', (f) => symlink('nowhere', join(f, 'latest')), ['SYMLINK_REFUSED latest']],
    [
      'a folder replaced by a link to the same files',
      async (f) => {
        await rename(join(f, 'card'), `${f}-card`);
        await symlink(`${f}-card`, join(f, 'card'));
      },
      ['SYMLINK_REFUSED card', 'FILE_MISSING card/README.md'],
    ],
    ['a pipe, without waiting for it', pipeInstead, ['FILE_UNSIGNED model.onnx']],
  ];
  for (const [what, tamper, expected] of tampers) {
    it(`refuses ${what}`, async () => {
      await tamper(v.folder);
      assert.deepEqual(await check(), expected);
    });
  }

  it('reports every problem at once, and throws with the worst and all of them listed', async () => {
    await rm(join(v.folder, 'metrics.json'));
    await writeFile(join(v.folder, 'model.onnx'), 'x');
    await writeFile(join(v.folder, 'extra'), 'x');
    await symlink('extra', join(v.folder, 'link'));
    const expected = [
      'SYMLINK_REFUSED link',
      'FILE_MISSING metrics.json',
      'FILE_DIGEST_MISMATCH model.onnx',
      'FILE_UNSIGNED extra',
    ];
    assert.deepEqual(await check(), expected);
    const { trustedKeys, descriptor } = v;
    const files = await readFolder(v.folder);
    await assert.rejects(
      verifyVersion({ files, bundle: descriptor.bundle, trustedKeys, revokedKeyIds: NO_KEYS }),
      (error) =>
        error instanceof SlipwayError &&
        error.code === 'SYMLINK_REFUSED' &&
        error.problems.map(({ file, reason }) => `${reason.split(':')[0]} ${file}`).join() ===
          expected.join(),
    );
  });

  it('refuses a link that replaces a file between the listing and the read', async () => {
    const files = await readFolder(v.folder);
    await linkInstead(v.folder);
    assert.deepEqual(await check({ files }), ['SYMLINK_REFUSED model.onnx']);
  });

  it('refuses a folder that is itself a link, or is not there', async () => {
    await symlink(v.folder, `${v.folder}-link`);
    await assert.rejects(readFolder(`${v.folder}-link`), { code: 'SYMLINK_REFUSED' });
    await assert.rejects(readFolder(`${v.folder}-gone`), { code: 'FILE_MISSING' });
  });

  it('refuses the signature of another version', async () => {
    const other = await makeSignedVersion({ 'model.onnx': 'another model' });
    await other.remove();
    const { files, model, tensors } = other.descriptor;
    const bundle = signVersion({ files, model, tensors, lineage: LINEAGE }, v.key);
    const expected = [
      'FILE_DIGEST_MISMATCH model.onnx',
      'FILE_UNSIGNED card/README.md',
      'FILE_UNSIGNED metrics.json',
    ];
    assert.deepEqual(await check({ bundle }), expected);
    const root = v.descriptor.digest;
    assert.deepEqual(await check({ bundle, expectedRoot: root }), ['SIGNATURE_INVALID', ...expected]);
  });

  it('refuses a key that is not trusted, also when the bundle names a trusted one', async () => {
    const stranger = newKey();
    const { files, model, tensors } = v.descriptor;
    const bundle = signVersion({ files, model, tensors, lineage: LINEAGE }, stranger);
    assert.deepEqual(await check({ bundle }), ['SIGNER_NOT_TRUSTED']);
    assert.deepEqual(await check({ bundle: withHint(bundle, v.key.keyId) }), ['SIGNATURE_INVALID']);
    assert.deepEqual(await check({ trustedKeys: new Map() }), ['SIGNER_NOT_TRUSTED']);
  });

  it('refuses a revoked key, whether it is still trusted or not', async () => {
    const revokedKeyIds = new Set([v.key.keyId]);
    assert.deepEqual(await check({ revokedKeyIds }), ['VERSION_REVOKED']);
    assert.deepEqual(await check({ revokedKeyIds, trustedKeys: new Map() }), ['VERSION_REVOKED']);
  });

  it('refuses any changed bit of the statement or the signature', async () => {
    const { bundle } = v.descriptor;
    const { payload, signatures } = bundle.dsseEnvelope;
    const sig = signatures[0]?.sig ?? '';
    for (let at = 0; at < 200; at += 7) {
      const changed = withEnvelope(bundle, { payload: flip(payload, at) });
      assert.deepEqual(await check({ bundle: changed }), ['SIGNATURE_INVALID'], `payload byte ${at}`);
    }
    for (let at = 0; at < 64; at += 3) {
      const changed = withEnvelope(bundle, { signatures: [{ sig: flip(sig, at), keyid: '' }] });
      assert.deepEqual(await check({ bundle: changed }), ['SIGNATURE_INVALID'], `signature byte ${at}`);
    }
  });

  it('refuses what is no bundle of one key signature', async () => {
    const { bundle } = v.descriptor;
    const { payload, signatures } = bundle.dsseEnvelope;
    const wrong: readonly unknown[] = [
      null,
      {},
      'bundle',
      { ...bundle, mediaType: 'application/vnd.dev.sigstore.bundle.v0.1+json' },
      { ...bundle, verificationMaterial: { certificate: { rawBytes: '' } } },
      withHint(bundle, ''),
      withEnvelope(bundle, { payloadType: 'text/plain' }),
      withEnvelope(bundle, { signatures: [] }),
      withEnvelope(bundle, { signatures: [...signatures, ...signatures] }),
      withEnvelope(bundle, { payload: `${payload}\n` }),
      withEnvelope(bundle, { payload: '' }),
    ];
    for (const [index, candidate] of wrong.entries()) {
      assert.deepEqual(await check({ bundle: candidate }), ['SIGNATURE_INVALID'], `case ${index}`);
    }
  });

  it('survives a database that reorders the keys of the bundle', async () => {
    const { mediaType, verificationMaterial, dsseEnvelope } = v.descriptor.bundle;
    const bundle = { verificationMaterial, dsseEnvelope: { ...dsseEnvelope }, mediaType };
    assert.deepEqual(await check({ bundle: JSON.parse(JSON.stringify(bundle)) }), []);
  });

  it('works the same on the blob store, where a damaged blob is a digest mismatch', async () => {
    const { files } = v.descriptor;
    assert.deepEqual(await check({ files: listedFiles(files, (digest) => v.store.read(digest)) }), []);
    const damaged = v.store.pathOf(files[0]?.digest ?? '');
    await rm(damaged);
    await writeFile(damaged, 'damaged');
    const [first, ...rest] = await check({ files: listedFiles(files, (digest) => v.store.read(digest)) });
    assert.deepEqual([first, rest], [`FILE_DIGEST_MISMATCH ${files[0]?.name}`, []]);
  });
});

describe('verification of approvals and checkpoints', () => {
  let v: SignedVersion;
  beforeEach(async () => {
    v = await makeSignedVersion();
  });
  afterEach(() => v.remove());
  const trust = (
    revokedKeyIds = NO_KEYS,
  ): { trustedKeys: SignedVersion['trustedKeys']; revokedKeyIds: typeof NO_KEYS } => ({
    trustedKeys: v.trustedKeys,
    revokedKeyIds,
  });

  it('returns an approval from what was signed, for exactly its subject, policy and evidence', () => {
    const approval = v.approve();
    assert.deepEqual(verifyApproval(approval.envelope, approval, trust()), approval);
    for (const field of ['subjectDigest', 'policyDigest', 'evidenceDigest'] as const) {
      const scope = { ...approval, [field]: `sha256:${'9'.repeat(64)}` };
      assert.throws(() => verifyApproval(approval.envelope, scope, trust()), { code: 'STALE_REVIEW' });
    }
  });

  it('refuses an approval that is forged, changed, by a revoked key, or no approval at all', () => {
    const approval = v.approve();
    const verify =
      (envelope: unknown, revoked = NO_KEYS) =>
      () =>
        verifyApproval(envelope, approval, trust(revoked));
    const forger: SigningKey = newKey();
    const forged = v.approve({}, forger).envelope;
    assert.throws(verify(forged), { code: 'SIGNER_NOT_TRUSTED' });
    const claimed = { ...forged, signatures: [{ sig: forged.signatures[0]?.sig, keyid: v.key.keyId }] };
    assert.throws(verify(claimed), { code: 'SIGNATURE_INVALID' });
    const { payload } = v.approve({ approver: 'mallory' }).envelope;
    assert.throws(verify({ ...approval.envelope, payload }), { code: 'SIGNATURE_INVALID' });
    assert.throws(verify(approval.envelope, new Set([v.key.keyId])), { code: 'VERSION_REVOKED' });
    // Signed by the right key, but as the signature of a version.
    const { dsseEnvelope } = v.descriptor.bundle;
    assert.throws(verify({ ...dsseEnvelope }), { code: 'SIGNATURE_INVALID' });
    assert.throws(verify(null), { code: 'SIGNATURE_INVALID' });
  });

  it('opens a checkpoint only by a trusted key and unchanged', () => {
    const head = v.descriptor.digest;
    const checkpoint = { stream: 'elec2', size: 3, head, at: '2026-01-01T00:00:00.000Z' };
    const envelope = signCheckpoint(checkpoint, v.key);
    assert.deepEqual(verifyCheckpoint(envelope, trust()), checkpoint);
    const { payload } = signCheckpoint({ ...checkpoint, size: 2 }, v.key);
    assert.throws(() => verifyCheckpoint({ ...envelope, payload }, trust()), { code: 'SIGNATURE_INVALID' });
    const foreign = signCheckpoint(checkpoint, newKey());
    assert.throws(() => verifyCheckpoint(foreign, trust()), { code: 'SIGNER_NOT_TRUSTED' });
  });
});

function flip(base64: string, at: number): string {
  const bytes = Buffer.from(base64, 'base64');
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  return bytes.toString('base64');
}

async function linkInstead(folder: string): Promise<void> {
  await rename(join(folder, 'model.onnx'), `${folder}-model`);
  await symlink(`${folder}-model`, join(folder, 'model.onnx'));
}

async function pipeInstead(folder: string): Promise<void> {
  await rm(join(folder, 'model.onnx'));
  execFileSync('mkfifo', [join(folder, 'model.onnx')]);
}

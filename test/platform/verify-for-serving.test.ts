import assert from 'node:assert/strict';
import { rename, rm, symlink, writeFile } from 'node:fs/promises';
import { after, before, describe, it } from 'mocha';
import { SlipwayError } from '../../domain/errors.ts';
import type { ErrorCode } from '../../domain/errors.ts';
import type { VersionDescriptor } from '../../domain/registry/index.ts';
import { signVersion } from '../../platform/signing.ts';
import type { ServableVersion, ServingChecks } from '../../platform/verify-for-serving.ts';
import { verifyForServing } from '../../platform/verify-for-serving.ts';
import type { SignedVersion } from './signed-version.ts';
import {
  CONTENT,
  LINEAGE,
  NOTHING_REVOKED,
  NOW,
  TENSORS,
  makeSignedVersion,
  newKey,
} from './signed-version.ts';

const OTHER = `sha256:${'9'.repeat(64)}`;

describe('what a gateway may load', () => {
  let v: SignedVersion;
  before(async () => {
    v = await makeSignedVersion();
  });
  after(() => v.remove());

  const load = (
    change: Partial<VersionDescriptor> = {},
    checks: Partial<ServingChecks> = {},
  ): Promise<ServableVersion> =>
    verifyForServing(
      { ...v.descriptor, ...change },
      {
        read: (digest) => v.store.read(digest),
        trustedKeys: v.trustedKeys,
        revoked: NOTHING_REVOKED,
        now: NOW,
        ...checks,
      },
    );

  const refused = async (code: ErrorCode, loading: Promise<unknown>, message = /./): Promise<void> => {
    await assert.rejects(loading, (error) => {
      assert.ok(error instanceof SlipwayError, String(error));
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      return true;
    });
  };

  it('is the bytes that were signed and approved', async () => {
    const version = await load();
    assert.equal(Buffer.from(version.bytesOf('model.onnx')).toString(), CONTENT['model.onnx']);
    assert.deepEqual(version.tensors, TENSORS);
    assert.throws(() => version.bytesOf('missing'), { code: 'FILE_MISSING' });
  });

  it('is also a version whose approvals have expired since they were given', async () => {
    const { envelope } = v.approve({ expiresAt: '2026-01-01T10:00:00.001Z' });
    await load({ approvals: [envelope] });
  });

  it('survives the way through JSON', async () => {
    await load(JSON.parse(JSON.stringify(v.descriptor)) as VersionDescriptor);
  });

  it('is no revoked version and nothing signed by a revoked key', async () => {
    const digests = new Set([v.descriptor.digest]);
    await refused('VERSION_REVOKED', load({}, { revoked: { digests, keyIds: new Set() } }), /version/);
    const keyIds = new Set([v.key.keyId]);
    await refused('VERSION_REVOKED', load({}, { revoked: { digests: new Set(), keyIds } }), /key/);
  });

  it('is nothing signed by a key that is not trusted, nor with the signature of another version', async () => {
    await refused('SIGNER_NOT_TRUSTED', load({}, { trustedKeys: new Map() }));
    const { files } = v.descriptor;
    const sign = (name: string): VersionDescriptor['bundle'] =>
      signVersion({ model: name, files: files.slice(0, 1), tensors: TENSORS, lineage: LINEAGE }, v.key);
    await refused('SIGNATURE_INVALID', load({ bundle: sign('elec2') }), /another version/);
    const own = signVersion({ model: 'fraud', files, tensors: TENSORS, lineage: LINEAGE }, v.key);
    await refused('SIGNATURE_INVALID', load({ bundle: own }), /signed as model fraud/);
  });

  it('is nothing whose descriptor was changed: digest, model, tensors, files', async () => {
    const { files } = v.descriptor;
    await refused('SIGNATURE_INVALID', load({ digest: OTHER }), /another version/);
    await refused('SIGNATURE_INVALID', load({ model: 'fraud' }), /not fraud/);
    const tensors = { ...TENSORS, inputs: [{ name: 'features', datatype: 'FP64', shape: [-1, 7] }] } as const;
    await refused('SIGNATURE_INVALID', load({ tensors }), /tensors/);
    const [first, second] = files;
    assert.ok(first !== undefined && second !== undefined);
    await refused('FILE_MISSING', load({ files: files.slice(1) }));
    await refused('FILE_UNSIGNED', load({ files: [...files, { ...first, name: 'extra' }] }));
    const swapped = [{ ...first, digest: second.digest }, ...files.slice(1)];
    await refused('FILE_DIGEST_MISMATCH', load({ files: swapped }));
    const renamed = [{ ...first, name: '../model.onnx' }, ...files.slice(1)];
    await refused('FILE_MISSING', load({ files: renamed }), /FILE_UNSIGNED \.\.\/model\.onnx/);
  });

  it('is nothing whose tensors were not signed', async () => {
    const { dsseEnvelope } = v.descriptor.bundle;
    const statement = JSON.parse(Buffer.from(dsseEnvelope.payload, 'base64').toString()) as {
      predicate: Record<string, unknown>;
    };
    delete statement.predicate['slipway'];
    const payload = Buffer.from(JSON.stringify(statement));
    const type = dsseEnvelope.payloadType;
    const sig = v.key.sign(
      Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${payload.length} `), payload]),
    );
    const signatures = [{ sig: Buffer.from(sig).toString('base64'), keyid: '' }];
    const envelope = { payload: payload.toString('base64'), payloadType: type, signatures };
    await refused(
      'SIGNATURE_INVALID',
      load({ bundle: { ...v.descriptor.bundle, dsseEnvelope: envelope } }),
      /cover/,
    );
  });

  it('is nothing that the store gives with other bytes, whatever the store says about them', async () => {
    const read = (): Promise<Uint8Array> => Promise.resolve(Buffer.from('other bytes'));
    await refused('FILE_DIGEST_MISMATCH', load({}, { read }));
  });

  it('is nothing whose blob was damaged, replaced by a link or lost', async () => {
    const own = await makeSignedVersion();
    const path = own.store.pathOf(own.descriptor.files[0]?.digest ?? '');
    const checks = {
      ...own,
      read: (digest: string) => own.store.read(digest),
      revoked: NOTHING_REVOKED,
      now: NOW,
    };
    try {
      await verifyForServing(own.descriptor, checks);
      await rename(path, `${path}.moved`);
      await refused('FILE_MISSING', verifyForServing(own.descriptor, checks));
      await symlink(`${path}.moved`, path);
      await refused('SYMLINK_REFUSED', verifyForServing(own.descriptor, checks));
      await rm(path);
      await writeFile(path, 'damaged');
      await refused('FILE_DIGEST_MISMATCH', verifyForServing(own.descriptor, checks));
    } finally {
      await own.remove();
    }
  });

  it('needs as many approvals by different people as the policy asks for', async () => {
    const ada = v.approve().envelope;
    const bob = v.approve({ approver: 'bob' }).envelope;
    await refused('VERSION_NOT_APPROVED', load({ approvals: [] }), /0 of 1/);
    await refused('VERSION_NOT_APPROVED', load({ requiredApprovals: 2 }), /1 of 2/);
    await refused('VERSION_NOT_APPROVED', load({ requiredApprovals: 2, approvals: [ada, ada] }), /1 of 2/);
    await refused('VERSION_NOT_APPROVED', load({ requiredApprovals: 0, approvals: [] }), /at least one/);
    await load({ requiredApprovals: 2, approvals: [ada, bob] });
  });

  it('needs the number that the approvers signed for, when the registry says less', async () => {
    const envelope = v.approve({ requiredApprovals: 2 }).envelope;
    await refused('VERSION_NOT_APPROVED', load({ approvals: [envelope], requiredApprovals: 1 }), /1 of 2/);
  });

  it('is nothing that anyone rejected on the same evidence', async () => {
    const rejection = v.approve({ approver: 'eve', decision: 'rejected' }).envelope;
    await refused(
      'VERSION_NOT_APPROVED',
      load({ approvals: [v.approve().envelope, rejection] }),
      /rejected by eve/,
    );
  });

  it('counts no approval for another model, version, policy or evidence', async () => {
    for (const field of ['subjectDigest', 'policyDigest', 'evidenceDigest'] as const) {
      const approvals = [v.approve({ [field]: OTHER }).envelope];
      await refused('VERSION_NOT_APPROVED', load({ approvals }), /STALE_REVIEW/);
    }
    const approvals = [v.approve({ model: 'fraud' }).envelope];
    await refused('VERSION_NOT_APPROVED', load({ approvals }), /for model fraud/);
    await refused('VERSION_NOT_APPROVED', load({ policyDigest: OTHER }), /another policy/);
    await refused('VERSION_NOT_APPROVED', load({ evidenceDigest: OTHER }), /other evidence/);
  });

  it('counts no approval that is forged, changed or from the future', async () => {
    const forged = v.approve({}, newKey()).envelope;
    await refused('VERSION_NOT_APPROVED', load({ approvals: [forged] }), /SIGNER_NOT_TRUSTED/);
    const claimed = { ...forged, signatures: [{ sig: forged.signatures[0]?.sig ?? '', keyid: v.key.keyId }] };
    await refused('VERSION_NOT_APPROVED', load({ approvals: [claimed] }), /SIGNATURE_INVALID/);
    const payload = v.approve({ approver: 'bob' }).envelope.payload;
    const changed = { ...v.approve().envelope, payload };
    await refused('VERSION_NOT_APPROVED', load({ approvals: [changed] }), /SIGNATURE_INVALID/);
    const { dsseEnvelope } = v.descriptor.bundle;
    const signatures = [{ sig: dsseEnvelope.signatures[0]?.sig ?? '', keyid: v.key.keyId }];
    await refused(
      'VERSION_NOT_APPROVED',
      load({ approvals: [{ ...dsseEnvelope, signatures }] }),
      /predicateType/,
    );
    const future = { decidedAt: '2026-03-01T00:05:00.001Z', expiresAt: '2027-01-01T00:00:00.000Z' };
    await refused('VERSION_NOT_APPROVED', load({ approvals: [v.approve(future).envelope] }), /future/);
    await load({ approvals: [v.approve({ ...future, decidedAt: '2026-03-01T00:05:00.000Z' }).envelope] });
  });

  it('counts no approval by a key that was revoked, while the version is signed by another', async () => {
    const approver = newKey();
    const trustedKeys = new Map([...v.trustedKeys, [approver.keyId, approver] as const]);
    const approvals = [v.approve({}, approver).envelope];
    await load({ approvals }, { trustedKeys });
    const revoked = { digests: new Set<string>(), keyIds: new Set([approver.keyId]) };
    await refused('VERSION_NOT_APPROVED', load({ approvals }, { trustedKeys, revoked }), /VERSION_REVOKED/);
  });
});

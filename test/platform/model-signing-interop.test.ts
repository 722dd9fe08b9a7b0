import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { appendFile, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, before, beforeEach, describe, it } from 'mocha';
import { checkVersion, verifyVersion } from '../../platform/signing.ts';
import { generatePrivateKeyPem, signingKey } from '../../platform/keys.ts';
import { readFolder } from '../../platform/version-files.ts';
import { scipyPython } from '../support/python.ts';
import type { SignedVersion } from './signed-version.ts';
import { makeSignedVersion } from './signed-version.ts';

/** Names whose order differs between plain strings, path components, UTF-16 units and code points. */
const AWKWARD: Readonly<Record<string, string>> = {
  'model.onnx': 'bytes',
  'empty.txt': '',
  'a/z': '1',
  'a-b': '2',
  'a.b': '3',
  'B/x': '4',
  'b/x': '5',
  'é.txt': '6',
  '\u{1f600}.txt': '7',
  '\uff01.txt': '8',
  '.hidden': '9',
};

describe('interoperation with the model-signing tool', function () {
  // The first run makes the virtual environment.
  this.timeout(600_000);

  let python: string;
  let v: SignedVersion;
  let publicKey: string;
  let ours: string;

  before(async () => {
    python = await scipyPython();
  });
  beforeEach(async () => {
    v = await makeSignedVersion(AWKWARD);
    publicKey = join(v.home, 'public.pem');
    ours = join(v.home, 'ours.sig');
    await writeFile(publicKey, v.key.publicPem);
    await writeFile(ours, JSON.stringify(v.descriptor.bundle));
  });
  afterEach(() => v.remove());

  const tool = (...args: string[]): Promise<{ code: number; output: string }> =>
    new Promise((resolve) => {
      const options = { timeout: 120_000 };
      execFile(python, ['-X', 'utf8', '-m', 'model_signing', ...args], options, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
        resolve({ code, output: stdout + stderr });
      });
    });
  const toolVerifies = (signature: string, key = publicKey): Promise<{ code: number; output: string }> =>
    tool('verify', 'key', '--signature', signature, '--public_key', key, v.folder);
  const toolRefuses = async (signature: string, key = publicKey): Promise<void> => {
    const { code, output } = await toolVerifies(signature, key);
    assert.notEqual(code, 0, output);
    assert.match(output, /Verification failed/);
  };
  const weFind = async (bundle: unknown): Promise<string[]> => {
    const files = await readFolder(v.folder);
    const check = await checkVersion({ files, bundle, trustedKeys: v.trustedKeys, revokedKeyIds: new Set() });
    return check.ok ? [] : check.problems.map(({ code, file }) => `${code} ${file}`);
  };

  it('the tool verifies what Slipway signs', async () => {
    const { code, output } = await toolVerifies(ours);
    assert.equal(code, 0, output);
    assert.match(output, /succeeded/);
  });

  describe('of its own signatures', () => {
    let theirs: string;
    beforeEach(async () => {
      const pem = generatePrivateKeyPem();
      const key = signingKey(pem);
      v = { ...v, key, trustedKeys: new Map([[key.keyId, key]]) };
      await writeFile(publicKey, key.publicPem);
      const privateKey = join(v.home, 'private.pem');
      await writeFile(privateKey, pem, { mode: 0o600 });
      theirs = join(v.folder, 'model.sig');
      const { code, output } = await tool(
        'sign',
        'key',
        '--private_key',
        privateKey,
        '--signature',
        theirs,
        v.folder,
      );
      assert.equal(code, 0, output);
    });

    it('Slipway verifies what the tool signs, and both compute the same root digest', async () => {
      const bundle: unknown = JSON.parse(await readFile(theirs, 'utf8'));
      const files = await readFolder(v.folder);
      const { statement, keyId } = await verifyVersion({
        files,
        bundle,
        trustedKeys: v.trustedKeys,
        revokedKeyIds: new Set(),
      });
      assert.equal(statement.root, v.descriptor.digest);
      assert.equal(keyId, v.key.keyId);
      assert.equal(statement.facts, undefined);
    });

    it('both refuse it after a byte was changed', async () => {
      await appendFile(join(v.folder, 'a/z'), '!');
      await toolRefuses(theirs);
      assert.deepEqual(await weFind(JSON.parse(await readFile(theirs, 'utf8'))), [
        'FILE_DIGEST_MISMATCH a/z',
      ]);
    });
  });

  const tampers: readonly (readonly [string, (folder: string) => Promise<void>, readonly string[]])[] = [
    ['a changed byte', (f) => appendFile(join(f, 'model.onnx'), '!'), ['FILE_DIGEST_MISMATCH model.onnx']],
    ['an extra file', (f) => writeFile(join(f, 'a', 'extra'), ''), ['FILE_UNSIGNED a/extra']],
    ['a missing file', (f) => rm(join(f, 'empty.txt')), ['FILE_MISSING empty.txt']],
    [
      'a renamed file',
      (f) => rename(join(f, 'a-b'), join(f, 'a-c')),
      ['FILE_MISSING a-b', 'FILE_UNSIGNED a-c'],
    ],
    ['a symbolic link', (f) => symlink('model.onnx', join(f, 'link')), ['SYMLINK_REFUSED link']],
  ];
  for (const [what, tamper, expected] of tampers) {
    it(`both refuse a version signed by Slipway with ${what}`, async () => {
      await tamper(v.folder);
      await toolRefuses(ours);
      assert.deepEqual(await weFind(v.descriptor.bundle), expected);
    });
  }

  it('both refuse another key, and a statement that was changed', async () => {
    const other = join(v.home, 'other.pem');
    await writeFile(other, signingKey(generatePrivateKeyPem()).publicPem);
    await toolRefuses(ours, other);
    const { dsseEnvelope, ...rest } = v.descriptor.bundle;
    const payload = Buffer.from(dsseEnvelope.payload, 'base64').toString().replace('"elec2"', '"fraud"');
    const changed = {
      ...rest,
      dsseEnvelope: { ...dsseEnvelope, payload: Buffer.from(payload).toString('base64') },
    };
    await writeFile(ours, JSON.stringify(changed));
    await toolRefuses(ours);
    assert.deepEqual(await weFind(changed), ['SIGNATURE_INVALID undefined']);
  });
});

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { after, before, describe, it } from 'mocha';
import { SlipwayError } from '../../domain/errors.ts';
import {
  generatePrivateKeyPem,
  loadOrCreateSigningKey,
  loadTrustedKeys,
  signingKey,
} from '../../platform/keys.ts';
import type { KeyPlaces } from '../../platform/keys.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const refused = (message: RegExp) => (error: unknown) =>
  error instanceof SlipwayError && error.code === 'CONFIG_INVALID' && message.test(error.message);

describe('signing key', () => {
  let home: string;
  let count = 0;
  before(async () => {
    home = await mkdtemp(join(tmpdir(), 'slipway-keys-'));
  });
  after(() => rm(home, { recursive: true, force: true }));

  const places = (): KeyPlaces => {
    const folder = join(home, String((count += 1)));
    return {
      privateKeyFile: join(folder, 'private', 'signing-key.pem'),
      trustedFolder: join(folder, 'trusted'),
    };
  };

  it('is made once, readable by its owner only, in PKCS#8, and is trusted from then on', async () => {
    const where = places();
    const key = await loadOrCreateSigningKey(where);
    assert.equal((await stat(where.privateKeyFile)).mode & 0o777, 0o600);
    assert.match(await readFile(where.privateKeyFile, 'utf8'), /^-----BEGIN PRIVATE KEY-----\n/);
    assert.equal((await loadOrCreateSigningKey(where)).keyId, key.keyId);
    const trusted = await loadTrustedKeys(where.trustedFolder);
    assert.deepEqual([...trusted.keys()], [key.keyId]);
    assert.equal(trusted.get(key.keyId)?.verify(bytes('x'), key.sign(bytes('x'))), true);
    assert.equal(trusted.get(key.keyId)?.verify(bytes('y'), key.sign(bytes('x'))), false);
    assert.equal(trusted.get(key.keyId)?.verify(bytes('x'), bytes('no signature')), false);
  });

  it('has the id that model-signing computes: SHA-256 of the public PEM', async () => {
    const where = places();
    const { keyId } = await loadOrCreateSigningKey(where);
    const pem = await readFile(join(where.trustedFolder, `${keyId}.pem`));
    assert.equal(createHash('sha256').update(pem).digest('hex'), keyId);
  });

  it('is one key when several processes start at once', async () => {
    const where = places();
    const module = fileURLToPath(new URL('../../platform/keys.js', import.meta.url));
    const script = `import { loadOrCreateSigningKey } from ${JSON.stringify(module)};
      const keys = await Promise.all([1, 2, 3, 4].map(() => loadOrCreateSigningKey(${JSON.stringify(where)})));
      console.log(keys.map((key) => key.keyId).join('\\n'));`;
    const run = promisify(execFile);
    const starts = [1, 2, 3, 4].map(() => run(process.execPath, ['--input-type=module', '-e', script]));
    const ids = (await Promise.all(starts)).flatMap(({ stdout }) => stdout.trim().split('\n'));
    assert.equal(ids.length, 16);
    assert.equal(new Set(ids).size, 1);
    assert.deepEqual([...(await loadTrustedKeys(where.trustedFolder)).keys()], [ids[0]]);
    assert.deepEqual(await readdir(join(where.privateKeyFile, '..')), ['signing-key.pem']);
  });

  for (const mode of [0o640, 0o604, 0o620, 0o601]) {
    it(`is refused with mode ${mode.toString(8)}, and the message says what to do`, async () => {
      const where = places();
      await loadOrCreateSigningKey(where);
      await chmod(where.privateKeyFile, mode);
      await assert.rejects(
        loadOrCreateSigningKey(where),
        refused(/mode 06\d\d\); run `chmod 600 .*signing-key.pem`/),
      );
    });
  }

  it('is refused when the file is a link or holds something else, and is never overwritten', async () => {
    const where = places();
    await loadOrCreateSigningKey(where);
    const other = { ...where, privateKeyFile: `${where.privateKeyFile}.link` };
    await symlink(where.privateKeyFile, other.privateKeyFile);
    await assert.rejects(loadOrCreateSigningKey(other), { code: 'SYMLINK_REFUSED' });
    const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey;
    for (const content of ['', 'garbage', p384.export({ type: 'pkcs8', format: 'pem' })]) {
      await writeFile(where.privateKeyFile, content);
      await assert.rejects(loadOrCreateSigningKey(where), refused(/signing-key.pem/));
      assert.equal(await readFile(where.privateKeyFile, 'utf8'), content);
    }
  });

  it('is trusted only while its public key is in the folder; a folder with a bad key is refused whole', async () => {
    const where = places();
    assert.equal((await loadTrustedKeys(where.trustedFolder)).size, 0);
    const { keyId } = await loadOrCreateSigningKey(where);
    const second = signingKey(generatePrivateKeyPem());
    await writeFile(join(where.trustedFolder, 'partner.pem'), second.publicPem);
    await writeFile(join(where.trustedFolder, 'README.txt'), 'not a key');
    await writeFile(join(where.trustedFolder, '.tmp-crashed.pem'), 'half a k');
    assert.deepEqual(
      [...(await loadTrustedKeys(where.trustedFolder)).keys()].sort(),
      [keyId, second.keyId].sort(),
    );
    await writeFile(join(where.trustedFolder, 'oops.pem'), generatePrivateKeyPem());
    await mkdir(join(where.trustedFolder, 'folder.pem'));
    await assert.rejects(
      loadTrustedKeys(where.trustedFolder),
      refused(/folder\.pem.*oops\.pem: this is a private key/),
    );
    await rm(join(where.trustedFolder, 'oops.pem'));
    await rm(join(where.trustedFolder, 'folder.pem'), { recursive: true });
    await rm(join(where.trustedFolder, `${keyId}.pem`));
    await loadOrCreateSigningKey(where);
    const left = [...(await loadTrustedKeys(where.trustedFolder)).keys()];
    assert.deepEqual(left, [second.keyId], 'a start does not bring back trust that was taken away');
  });
});

/**
 * The signing key of this installation and the public keys that it trusts: ECDSA P-256, as the OpenSSF model-signing
 * tool uses them (`sign key` / `verify key`).
 *
 * A key is named by the hex SHA-256 of its public key's PEM text; the same name is the hint in a sigstore bundle and
 * the `keyid` of an approval. Who may sign is decided by the files in the trust folder alone.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  verify,
} from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { SlipwayError } from '../domain/errors.ts';
import {
  TEMPORARY_PREFIX,
  createFileExclusively,
  errorCode,
  makeFolder,
  writeFileAtomically,
} from './atomic-file.ts';
import { openRegularFile, readRegularFile } from './regular-file.ts';

export interface TrustedKey {
  readonly keyId: string;
  readonly publicPem: string;
  /** Whether `signature` (ECDSA over SHA-256, DER) is this key's over `bytes`. */
  verify(bytes: Uint8Array, signature: Uint8Array): boolean;
}

export interface SigningKey extends TrustedKey {
  sign(bytes: Uint8Array): Uint8Array;
}

/** By key id. */
export type TrustedKeys = ReadonlyMap<string, TrustedKey>;

export interface KeyPlaces {
  /** PEM, PKCS#8, mode 0600. */
  readonly privateKeyFile: string;
  /** Every `*.pem` in it is trusted. */
  readonly trustedFolder: string;
}

/**
 * The signing key, made on first use. Safe when several processes start at once: one key wins, all return it.
 * @throws SlipwayError `CONFIG_INVALID` when the key file is readable by others or holds no P-256 private key.
 */
export async function loadOrCreateSigningKey(places: KeyPlaces): Promise<SigningKey> {
  const present = await readPrivateKey(places.privateKeyFile);
  if (present !== undefined) return present;
  await createSigningKey(places);
  const made = await readPrivateKey(places.privateKeyFile);
  if (made === undefined) {
    throw new SlipwayError(
      'CONFIG_INVALID',
      `the private key ${places.privateKeyFile} was removed while starting`,
    );
  }
  return made;
}

/**
 * The public keys whose signatures count: every `*.pem` in the folder.
 * @throws SlipwayError `CONFIG_INVALID` naming every file that is no P-256 public key; a folder with a bad key is
 *   refused whole, because ignoring a file silently would look like a revocation.
 */
export async function loadTrustedKeys(folder: string): Promise<TrustedKeys> {
  const keys = new Map<string, TrustedKey>();
  const problems: { file: string; path: string; reason: string }[] = [];
  for (const name of (await listFolder(folder)).sort()) {
    if (!name.endsWith('.pem') || name.startsWith(TEMPORARY_PREFIX)) continue;
    try {
      const pem = new TextDecoder().decode(await readRegularFile(join(folder, name), `trusted key ${name}`));
      const key = trustedKey(pem);
      keys.set(key.keyId, key);
    } catch (error) {
      if (!(error instanceof SlipwayError)) throw error;
      // Removed since the folder was listed: another process lost the race to make the first key.
      if (!existsSync(join(folder, name))) continue;
      problems.push({ file: join(folder, name), path: '', reason: error.message });
    }
  }
  if (problems.length > 0) {
    const list = problems.map(({ file, reason }) => `${file}: ${reason}`).join('; ');
    throw new SlipwayError('CONFIG_INVALID', `the folder of trusted keys is refused: ${list}`, { problems });
  }
  return keys;
}

/** @throws SlipwayError `CONFIG_INVALID` unless `pem` is a P-256 public key. */
export function trustedKey(pem: string): TrustedKey {
  // createPublicKey would quietly derive the public half of a private key that someone put there by mistake.
  if (pem.includes('PRIVATE KEY')) {
    throw new SlipwayError('CONFIG_INVALID', 'this is a private key; only public keys belong here');
  }
  return publicHalf(parseKey(() => createPublicKey(pem)));
}

/** @throws SlipwayError `CONFIG_INVALID` unless `pem` is a P-256 private key. */
export function signingKey(pem: string): SigningKey {
  const privateKey = parseKey(() => createPrivateKey(pem));
  return {
    ...publicHalf(createPublicKey(privateKey)),
    sign: (bytes) => sign('sha256', bytes, { key: privateKey, dsaEncoding: 'der' }),
  };
}

/** A new P-256 private key, PEM, PKCS#8. */
export function generatePrivateKeyPem(): string {
  return generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  }).privateKey;
}

async function createSigningKey({ privateKeyFile, trustedFolder }: KeyPlaces): Promise<void> {
  const pem = generatePrivateKeyPem();
  const key = signingKey(pem);
  const publicFile = join(trustedFolder, `${key.keyId}.pem`);
  await makeFolder(dirname(privateKeyFile), 0o700);
  await makeFolder(trustedFolder);
  // Trust first: a crash in between leaves a public key that nobody can sign with, not a key that nobody trusts.
  await writeFileAtomically(publicFile, key.publicPem);
  const won = await createFileExclusively(privateKeyFile, pem, 0o600);
  if (!won) await rm(publicFile, { force: true });
}

async function readPrivateKey(file: string): Promise<SigningKey | undefined> {
  let pem: string;
  try {
    const handle = await openRegularFile(file, `the private key ${file}`);
    try {
      // The mode of the very file that is read, not of whatever the name means a moment later.
      const mode = (await handle.stat()).mode & 0o777;
      if ((mode & 0o077) !== 0) {
        throw new SlipwayError(
          'CONFIG_INVALID',
          `the private key ${file} can be used by others (mode ${mode.toString(8).padStart(4, '0')}); ` +
            `run \`chmod 600 ${file}\`, and replace the key if others use this machine`,
        );
      }
      pem = await handle.readFile('utf8');
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof SlipwayError && error.code === 'FILE_MISSING') return undefined;
    throw error;
  }
  try {
    return signingKey(pem);
  } catch (error) {
    if (!(error instanceof SlipwayError)) throw error;
    throw new SlipwayError(error.code, `the private key ${file}: ${error.message}`, { cause: error });
  }
}

function publicHalf(publicKey: KeyObject): TrustedKey {
  const publicPem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  return {
    keyId: createHash('sha256').update(publicPem).digest('hex'),
    publicPem,
    verify: (bytes, signature) => verify('sha256', bytes, { key: publicKey, dsaEncoding: 'der' }, signature),
  };
}

function parseKey(parse: () => KeyObject): KeyObject {
  let key: KeyObject;
  try {
    key = parse();
  } catch (error) {
    throw new SlipwayError('CONFIG_INVALID', 'this is not a key in PEM form without a password', {
      cause: error,
    });
  }
  if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    throw new SlipwayError('CONFIG_INVALID', 'this is not an ECDSA key on the curve P-256');
  }
  return key;
}

async function listFolder(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

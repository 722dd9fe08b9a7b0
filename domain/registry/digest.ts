/** SHA-256 digests as Slipway writes them, `sha256:<64 hex>`, and the hash function that the pure core is given. */
import type { Digest } from '../routing/route.ts';
import { SlipwayError } from '../errors.ts';

/** SHA-256, handed in by the caller: this folder imports nothing. Returns the 32 raw bytes. */
export type Sha256 = (bytes: Uint8Array) => Uint8Array;

const DIGEST = /^sha256:[0-9a-f]{64}$/;
const HEX_BYTES = /^[0-9a-f]{64}$/;

export function isDigest(value: unknown): value is Digest {
  return typeof value === 'string' && DIGEST.test(value);
}

export function digestOf(bytes: Uint8Array, sha256: Sha256): Digest {
  return `sha256:${toHex(sha256(bytes))}`;
}

/** The 64 hex characters. @throws SlipwayError `INVALID_REQUEST` when it is no digest. */
export function hexOf(digest: Digest): string {
  if (!isDigest(digest)) {
    throw new SlipwayError(
      'INVALID_REQUEST',
      `a digest is "sha256:" and 64 lower-case hex characters, not ${JSON.stringify(digest)}`,
    );
  }
  return digest.slice('sha256:'.length);
}

/** @returns undefined unless `hex` is 64 lower-case hex characters. */
export function digestFromHex(hex: unknown): Digest | undefined {
  return typeof hex === 'string' && HEX_BYTES.test(hex) ? `sha256:${hex}` : undefined;
}

export function rawBytes(digest: Digest): Uint8Array {
  const hex = hexOf(digest);
  return Uint8Array.from({ length: 32 }, (_, index) =>
    Number.parseInt(hex.slice(index * 2, index * 2 + 2), 16),
  );
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

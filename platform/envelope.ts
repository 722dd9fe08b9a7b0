/** Signs statements into DSSE envelopes and opens them again: nothing inside is looked at before the signature is. */
import type { SigningKey, TrustedKeys } from './keys.ts';
import { SlipwayError } from '../domain/errors.ts';
import type { DsseEnvelope, Statement } from '../domain/registry/index.ts';
import {
  IN_TOTO_PAYLOAD_TYPE,
  canonicalBytes,
  parseEnvelope,
  preAuthEncoding,
} from '../domain/registry/index.ts';

export interface Trust {
  readonly trustedKeys: TrustedKeys;
  /** Keys whose signatures no longer count, whenever they were made. */
  readonly revokedKeyIds: ReadonlySet<string>;
}

export function signStatement(statement: Statement, key: SigningKey): DsseEnvelope {
  const payload = canonicalBytes(statement);
  const signature = key.sign(preAuthEncoding(IN_TOTO_PAYLOAD_TYPE, payload));
  return {
    payload: toBase64(payload),
    payloadType: IN_TOTO_PAYLOAD_TYPE,
    signatures: [{ sig: toBase64(signature), keyid: key.keyId }],
  };
}

/**
 * The statement in an envelope whose signature is by `keyId`.
 * @throws SlipwayError `VERSION_REVOKED`, `SIGNER_NOT_TRUSTED` or `SIGNATURE_INVALID`, in this order: a revoked key is
 *   named as such also after it has left the trust folder.
 */
export function openEnvelope(value: unknown, keyId: string, { trustedKeys, revokedKeyIds }: Trust): unknown {
  const envelope = parseEnvelope(value);
  if (revokedKeyIds.has(keyId))
    throw new SlipwayError('VERSION_REVOKED', `the key ${keyId} has been revoked`);
  const key = trustedKeys.get(keyId);
  if (key === undefined) {
    throw new SlipwayError(
      'SIGNER_NOT_TRUSTED',
      `the key ${keyId} is not trusted; if it should be, put its public key into the folder of trusted keys`,
    );
  }
  const payload = fromBase64(envelope.payload, 'payload');
  const signature = fromBase64(envelope.signatures[0]?.sig ?? '', 'signature');
  if (!key.verify(preAuthEncoding(envelope.payloadType, payload), signature)) {
    throw new SlipwayError(
      'SIGNATURE_INVALID',
      `the signature is not by the key ${keyId}, or what it covers was changed`,
    );
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
  } catch (error) {
    throw new SlipwayError('SIGNATURE_INVALID', 'the signed statement is not JSON', { cause: error });
  }
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

// Node skips what is not base64; two different texts must not stand for the same bytes.
function fromBase64(text: string, what: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text)
    throw new SlipwayError('SIGNATURE_INVALID', `the ${what} of the envelope is not base64`);
  return bytes;
}

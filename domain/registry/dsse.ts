/**
 * DSSE v1 envelopes around in-toto v1 statements, and the sigstore bundle that carries one: shapes, checks, and the
 * bytes that are signed. Base64 and the signature itself belong to `platform/`.
 */
import type { JsonValue } from './canonical-json.ts';
import { SlipwayError } from '../errors.ts';
import { concatBytes } from './digest.ts';

export const IN_TOTO_PAYLOAD_TYPE = 'application/vnd.in-toto+json';
export const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1';
export const BUNDLE_MEDIA_TYPE = 'application/vnd.dev.sigstore.bundle.v0.3+json';

export interface DsseEnvelope {
  /** Base64 of the exact bytes of the statement. */
  readonly payload: string;
  readonly payloadType: string;
  /** Exactly one: a second approval is a second envelope. */
  readonly signatures: readonly { readonly sig: string; readonly keyid: string }[];
}

export interface SigstoreBundle {
  readonly mediaType: string;
  readonly verificationMaterial: {
    /** Hint: hex SHA-256 of the public key's PEM text. */
    readonly publicKey: { readonly hint: string };
    readonly tlogEntries: readonly JsonValue[];
  };
  readonly dsseEnvelope: DsseEnvelope;
}

export interface Statement {
  readonly _type: string;
  readonly subject: readonly { readonly name: string; readonly digest: { readonly sha256: string } }[];
  readonly predicateType: string;
  readonly predicate: { readonly [key: string]: JsonValue };
}

const encoder = new TextEncoder();

/** DSSE pre-authentication encoding: type and length are signed too, so bytes of one type never pass as another. */
export function preAuthEncoding(payloadType: string, payload: Uint8Array): Uint8Array {
  const type = encoder.encode(payloadType);
  return concatBytes([
    encoder.encode(`DSSEv1 ${type.length} `),
    type,
    encoder.encode(` ${payload.length} `),
    payload,
  ]);
}

/** @throws SlipwayError `SIGNATURE_INVALID` unless it is an in-toto envelope with exactly one signature. */
export function parseEnvelope(value: unknown): DsseEnvelope {
  const envelope = record(value, 'the envelope');
  if (envelope['payloadType'] !== IN_TOTO_PAYLOAD_TYPE) {
    throw invalid(`the envelope's payloadType must be ${IN_TOTO_PAYLOAD_TYPE}`);
  }
  const signatures = envelope['signatures'];
  if (!Array.isArray(signatures) || signatures.length !== 1) {
    throw invalid('the envelope must carry exactly one signature');
  }
  const signature = record(signatures[0], 'the signature');
  const keyid = signature['keyid'] ?? '';
  if (
    typeof envelope['payload'] !== 'string' ||
    typeof signature['sig'] !== 'string' ||
    typeof keyid !== 'string'
  ) {
    throw invalid('payload, sig and keyid of the envelope must be strings');
  }
  return {
    payload: envelope['payload'],
    payloadType: IN_TOTO_PAYLOAD_TYPE,
    signatures: [{ sig: signature['sig'], keyid }],
  };
}

/** @throws SlipwayError `SIGNATURE_INVALID` when it is no bundle that a public key has signed. */
export function parseBundle(value: unknown): SigstoreBundle {
  const bundle = record(value, 'the bundle');
  if (bundle['mediaType'] !== BUNDLE_MEDIA_TYPE)
    throw invalid(`the bundle's mediaType must be ${BUNDLE_MEDIA_TYPE}`);
  const material = record(bundle['verificationMaterial'], 'verificationMaterial');
  if (material['publicKey'] === undefined) {
    throw invalid('the bundle was not made with a key pair; only key signatures are supported');
  }
  const hint = record(material['publicKey'], 'publicKey')['hint'];
  if (typeof hint !== 'string' || hint === '') {
    throw invalid('the bundle does not name its public key; sign again with model-signing 1.1 or later');
  }
  return {
    mediaType: BUNDLE_MEDIA_TYPE,
    verificationMaterial: { publicKey: { hint }, tlogEntries: [] },
    dsseEnvelope: parseEnvelope(bundle['dsseEnvelope']),
  };
}

/** @throws SlipwayError `SIGNATURE_INVALID` unless it is an in-toto statement of this type about one subject. */
export function parseStatement(value: unknown, predicateType: string): Statement {
  const statement = record(value, 'the signed statement');
  if (statement['_type'] !== STATEMENT_TYPE)
    throw invalid(`the signed statement's _type must be ${STATEMENT_TYPE}`);
  if (statement['predicateType'] !== predicateType) {
    throw invalid(
      `the signed statement's predicateType must be ${predicateType}, not ${JSON.stringify(statement['predicateType'])}`,
    );
  }
  const subjects = statement['subject'];
  if (!Array.isArray(subjects) || subjects.length !== 1)
    throw invalid('the signed statement must have one subject');
  const subject = record(subjects[0], 'the subject');
  const sha256 = record(subject['digest'], 'the digest of the subject')['sha256'];
  if (typeof subject['name'] !== 'string' || typeof sha256 !== 'string') {
    throw invalid('the subject must have a name and a sha256 digest');
  }
  return {
    _type: STATEMENT_TYPE,
    subject: [{ name: subject['name'], digest: { sha256 } }],
    predicateType,
    predicate: record(statement['predicate'], 'the predicate') as Statement['predicate'],
  };
}

/** @throws SlipwayError `SIGNATURE_INVALID` when `value` is not a JSON object. */
export function record(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(`${what} must be a JSON object`);
  }
  return value as Readonly<Record<string, unknown>>;
}

export function invalid(reason: string): SlipwayError {
  return new SlipwayError('SIGNATURE_INVALID', reason);
}

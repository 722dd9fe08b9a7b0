/** Digests that the registry computes itself: of manifests, of their policy, of tokens. */
import { createHash } from 'node:crypto';
import type { ModelManifest } from '../domain/manifest/model-manifest.ts';
import { canonicalBytes, digestOf } from '../domain/registry/index.ts';
import type { Digest } from '../domain/routing/route.ts';
import { asStored } from './stored-value.ts';

export const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest();

export function manifestDigest(manifest: ModelManifest): Digest {
  return digestOf(canonicalBytes(asStored(manifest)), sha256);
}

/** Of the part of a manifest that says how a release is judged: an approval is bound to it. */
export function policyDigest({ riskTier, gates, guardrails, approval, rollout, slo }: ModelManifest): Digest {
  return digestOf(canonicalBytes(asStored({ riskTier, gates, guardrails, approval, rollout, slo })), sha256);
}

export function tokenDigest(token: string): Digest {
  return digestOf(new TextEncoder().encode(token), sha256);
}

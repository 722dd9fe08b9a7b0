/** Signing with this installation's key. */
import type { ApprovalSigner } from '../../activities/release.ts';
import type { VersionSigner } from '../../activities/registry.ts';
import { rootDigest } from '../../domain/registry/index.ts';
import type { SigningKey } from '../../platform/keys.ts';
import { sha256 } from '../../platform/sha256.ts';
import { signApproval, signVersion } from '../../platform/signing.ts';

export function createVersionSigner(key: SigningKey): VersionSigner {
  return {
    sign: (version) =>
      Promise.resolve({ digest: rootDigest(version.files, sha256), bundle: signVersion(version, key) }),
  };
}

export function createApprovalSigner(key: SigningKey): ApprovalSigner {
  return { sign: (decision) => Promise.resolve(signApproval(decision, key)) };
}

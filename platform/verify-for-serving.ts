/**
 * The one gate between the registry and a gateway's memory: a version comes in only when it is not revoked, signed by
 * a trusted key, approved by enough people for exactly these bytes, this evidence and this policy, and whole.
 *
 * Everything in the descriptor is checked against something signed; nothing of it is believed. Expiry of approvals
 * is not held against `now`, see `domain/registry/approval-statement.ts` for the rule.
 */
import type { Digest } from '../domain/routing/route.ts';
import type { Trust } from './envelope.ts';
import type { TrustedKeys } from './keys.ts';
import { SlipwayError } from '../domain/errors.ts';
import type {
  ApprovalDecision,
  Revocations,
  TensorSignature,
  VersionDescriptor,
} from '../domain/registry/index.ts';
import { canonicalJson, quorumProblem, tensorsAsJson } from '../domain/registry/index.ts';
import { verifyApproval, verifyVersion } from './signing.ts';
import { listedFiles } from './version-files.ts';

export interface ServingChecks {
  /** From the blob store; what it returns is hashed here. */
  readonly read: (digest: Digest) => Promise<Uint8Array>;
  readonly trustedKeys: TrustedKeys;
  readonly revoked: Revocations;
  /** Unix milliseconds. */
  readonly now: number;
}

export interface ServableVersion {
  readonly digest: Digest;
  readonly model: string;
  readonly tensors: TensorSignature;
  /** The bytes that were hashed. @throws SlipwayError `FILE_MISSING` for a name that is not part of the version. */
  readonly bytesOf: (name: string) => Uint8Array;
}

/** An approval from the future is refused, but clocks of two machines may differ by this much. */
const CLOCK_SKEW_MS = 5 * 60_000;

/**
 * @throws SlipwayError `VERSION_REVOKED`, `VERSION_NOT_APPROVED`, `SIGNATURE_INVALID`, `SIGNER_NOT_TRUSTED`,
 *   `FILE_DIGEST_MISMATCH`, `FILE_MISSING`, `FILE_UNSIGNED` or `SYMLINK_REFUSED`; `problems` lists everything found.
 */
export async function verifyForServing(
  descriptor: VersionDescriptor,
  { read, trustedKeys, revoked, now }: ServingChecks,
): Promise<ServableVersion> {
  const { digest, model, tensors } = descriptor;
  if (revoked.digests.has(digest))
    throw new SlipwayError('VERSION_REVOKED', `the version ${digest} has been revoked`);
  const trust: Trust = { trustedKeys, revokedKeyIds: revoked.keyIds };
  const { statement, bytesOf } = await verifyVersion({
    files: listedFiles(descriptor.files, read),
    bundle: descriptor.bundle,
    expectedRoot: digest,
    ...trust,
  });
  if (statement.model !== model) {
    throw new SlipwayError(
      'SIGNATURE_INVALID',
      `the version was signed as model ${statement.model}, not ${model}`,
    );
  }
  const signedTensors = statement.facts?.['tensors'];
  if (signedTensors === undefined) {
    throw new SlipwayError(
      'SIGNATURE_INVALID',
      'the signature does not cover the tensors; register the version again',
    );
  }
  if (canonicalJson(signedTensors) !== canonicalJson(tensorsAsJson(tensors))) {
    throw new SlipwayError(
      'SIGNATURE_INVALID',
      'the tensors of the descriptor are not those that were signed',
    );
  }
  checkApprovals(descriptor, trust, now);
  return { digest, model, tensors, bytesOf };
}

function checkApprovals(descriptor: VersionDescriptor, trust: Trust, now: number): void {
  const { digest, model, policyDigest, evidenceDigest } = descriptor;
  const scope = { model, subjectDigest: digest, policyDigest, evidenceDigest };
  const valid: ApprovalDecision[] = [];
  const problems: { path: string; reason: string }[] = [];
  for (const [index, envelope] of descriptor.approvals.entries()) {
    try {
      const approval = verifyApproval(envelope, scope, trust);
      if (Date.parse(approval.decidedAt) > now + CLOCK_SKEW_MS) {
        throw new SlipwayError(
          'VERSION_NOT_APPROVED',
          `it was decided in the future, at ${approval.decidedAt}`,
        );
      }
      valid.push(approval);
    } catch (error) {
      if (!(error instanceof SlipwayError)) throw error;
      problems.push({ path: `/approvals/${index}`, reason: `${error.code}: ${error.message}` });
    }
  }
  const problem = quorumProblem(valid, descriptor.requiredApprovals);
  if (problem === undefined) return;
  const ignored = problems.map(({ path, reason }) => `; ${path} does not count: ${reason}`).join('');
  throw new SlipwayError(
    'VERSION_NOT_APPROVED',
    `the version ${digest} may not serve: ${problem}${ignored}`,
    {
      problems,
    },
  );
}

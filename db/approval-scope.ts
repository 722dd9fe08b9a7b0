/** From stored approvals to the one scope that a version is served under. Pure. */
import { quorumProblem } from '../domain/registry/index.ts';
import type { Approval, VersionDescriptor } from '../domain/registry/index.ts';
import type { Digest } from '../domain/routing/route.ts';

type ApprovedScope = Pick<
  VersionDescriptor,
  'approvals' | 'requiredApprovals' | 'policyDigest' | 'evidenceDigest'
>;

/** A version that nobody decided on: no approval, and one is needed, so no gateway loads it. */
const NO_DIGEST: Digest = `sha256:${'0'.repeat(64)}`;
const UNDECIDED: ApprovedScope = {
  approvals: [],
  requiredApprovals: 1,
  policyDigest: NO_DIGEST,
  evidenceDigest: NO_DIGEST,
};

/**
 * The same bytes may be released again, under another policy or on other evidence: that is another scope. The newest
 * scope that has its quorum counts; so a second release of the champion's bytes that is rejected, or still under
 * review, does not take the champion down. Without any such scope the newest one is shown, and is refused at load.
 * @param approvals oldest first
 */
export function scopeToServe(approvals: readonly Approval[]): ApprovedScope {
  const scopes = new Map<string, Approval[]>();
  for (const approval of approvals) {
    const key = `${approval.policyDigest} ${approval.evidenceDigest}`;
    const members = scopes.get(key) ?? [];
    // Moved to the end: a scope is as new as its newest decision.
    scopes.delete(key);
    scopes.set(key, [...members, approval]);
  }
  const newestFirst = [...scopes.values()].toReversed();
  const chosen = newestFirst.find((members) => quorumProblem(members, 1) === undefined) ?? newestFirst[0];
  const [first] = chosen ?? [];
  if (chosen === undefined || first === undefined) return UNDECIDED;
  return {
    approvals: chosen.map(({ envelope }) => envelope),
    requiredApprovals: Math.max(...chosen.map(({ requiredApprovals }) => requiredApprovals)),
    policyDigest: first.policyDigest,
    evidenceDigest: first.evidenceDigest,
  };
}

/**
 * The statement that an approval signs, and the rules by which approvals count.
 *
 * An approval is for one subject, one policy and one body of evidence: change any of the three and it no longer
 * counts. Expiry is a rule about *starting* a rollout and is enforced by the release, right before its first traffic
 * change. At load a gateway asks instead whether each approval was in force when it was given (`decidedAt` before
 * `expiresAt`): a version that was approved in time stays approved, or every gateway restart after a week would take
 * the champion down.
 */
import type { ApprovalDecision } from './model-version.ts';
import type { Digest } from '../routing/route.ts';
import type { Statement } from './dsse.ts';
import { SlipwayError } from '../errors.ts';
import { digestFromHex, hexOf, isDigest } from './digest.ts';
import { STATEMENT_TYPE, invalid, parseStatement } from './dsse.ts';

export const APPROVAL_PREDICATE_TYPE = 'https://slipway.dev/attestation/approval/v1';

const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/;

/** What an approval has to be about to count. */
export interface ApprovalScope {
  readonly model: string;
  readonly subjectDigest: Digest;
  readonly policyDigest: Digest;
  readonly evidenceDigest: Digest;
}

/** @throws SlipwayError `INVALID_REQUEST` when the decision is not one that may be signed. */
export function buildApprovalStatement(decision: ApprovalDecision): Statement {
  const problem = decisionProblem(decision);
  if (problem !== undefined)
    throw new SlipwayError('INVALID_REQUEST', `the approval cannot be signed: ${problem}`);
  const { model, subjectDigest, policyDigest, evidenceDigest, approver, comment } = decision;
  return {
    _type: STATEMENT_TYPE,
    subject: [{ name: model, digest: { sha256: hexOf(subjectDigest) } }],
    predicateType: APPROVAL_PREDICATE_TYPE,
    predicate: {
      decision: decision.decision,
      approver,
      comment,
      policyDigest,
      evidenceDigest,
      decidedAt: decision.decidedAt,
      expiresAt: decision.expiresAt,
      requiredApprovals: decision.requiredApprovals,
    },
  };
}

/** Reads a statement whose signature has been verified. @throws SlipwayError `SIGNATURE_INVALID`. */
export function parseApprovalStatement(value: unknown): ApprovalDecision {
  const { subject, predicate } = parseStatement(value, APPROVAL_PREDICATE_TYPE);
  const decision = {
    model: subject[0]?.name ?? '',
    subjectDigest: digestFromHex(subject[0]?.digest.sha256) ?? '',
    policyDigest: predicate['policyDigest'],
    evidenceDigest: predicate['evidenceDigest'],
    decision: predicate['decision'],
    approver: predicate['approver'],
    comment: predicate['comment'],
    decidedAt: predicate['decidedAt'],
    expiresAt: predicate['expiresAt'],
    requiredApprovals: predicate['requiredApprovals'],
  };
  const problem = decisionProblem(decision);
  if (problem !== undefined) throw invalid(`the signed approval is not valid: ${problem}`);
  return decision as ApprovalDecision;
}

/** Why the approval does not count for `scope`; undefined when it does. */
export function scopeProblem(approval: ApprovalDecision, scope: ApprovalScope): string | undefined {
  if (approval.model !== scope.model) return `it is for model ${approval.model}, not ${scope.model}`;
  if (approval.subjectDigest !== scope.subjectDigest)
    return `it is for another version, ${approval.subjectDigest}`;
  if (approval.policyDigest !== scope.policyDigest) return 'it was given under another policy';
  if (approval.evidenceDigest !== scope.evidenceDigest) return 'it was given on other evidence';
  return undefined;
}

/**
 * Why these approvals, all signed and in scope, do not let the version in; undefined when they do. A rejection is
 * final for what it names, one person counts once, and the highest number that anyone signed for is required.
 */
export function quorumProblem(approvals: readonly ApprovalDecision[], required: number): string | undefined {
  const rejection = approvals.find(({ decision }) => decision === 'rejected');
  if (rejection !== undefined) return `it was rejected by ${rejection.approver}`;
  if (!Number.isSafeInteger(required) || required < 1) {
    return `at least one approval is required, and the descriptor asks for ${required}`;
  }
  const needed = Math.max(required, ...approvals.map((approval) => approval.requiredApprovals));
  const distinct = new Set(approvals.map(({ approver }) => approver)).size;
  return distinct < needed ? `${distinct} of ${needed} required approvals are valid` : undefined;
}

type Unchecked = { readonly [Field in keyof ApprovalDecision]: unknown };

function decisionProblem(decision: Unchecked): string | undefined {
  const { decidedAt, expiresAt, requiredApprovals } = decision;
  if (typeof decision.model !== 'string' || decision.model === '') return 'model is empty';
  for (const field of ['subjectDigest', 'policyDigest', 'evidenceDigest'] as const) {
    if (!isDigest(decision[field])) return `${field} is not a digest`;
  }
  if (decision.decision !== 'approved' && decision.decision !== 'rejected') return 'decision is unknown';
  if (typeof decision.approver !== 'string' || decision.approver === '') return 'approver is empty';
  if (typeof decision.comment !== 'string') return 'comment is not a string';
  if (typeof decidedAt !== 'string' || !INSTANT.test(decidedAt)) return 'decidedAt is not a UTC instant';
  if (typeof expiresAt !== 'string' || !INSTANT.test(expiresAt)) return 'expiresAt is not a UTC instant';
  // Both have one fixed format, so the order of the strings is the order of the instants.
  if (decidedAt > expiresAt) return 'it was decided after it had expired';
  if (
    typeof requiredApprovals !== 'number' ||
    !Number.isSafeInteger(requiredApprovals) ||
    requiredApprovals < 1
  ) {
    return 'requiredApprovals is not a whole number of at least 1';
  }
  return undefined;
}

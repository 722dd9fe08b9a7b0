import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { SlipwayError } from '../../../domain/errors.ts';
import type { ApprovalDecision } from '../../../domain/registry/index.ts';
import {
  buildApprovalStatement,
  parseApprovalStatement,
  quorumProblem,
  scopeProblem,
} from '../../../domain/registry/index.ts';

const digest = (character: string): string => `sha256:${character.repeat(64)}`;
const approval: ApprovalDecision = {
  model: 'elec2',
  subjectDigest: digest('1'),
  policyDigest: digest('2'),
  evidenceDigest: digest('3'),
  decision: 'approved',
  approver: 'ada',
  comment: 'looks right',
  decidedAt: '2026-01-01T10:00:00.000Z',
  expiresAt: '2026-01-08T10:00:00.000Z',
  requiredApprovals: 1,
};

describe('approvals', () => {
  it('come back from the signed statement exactly as they were given', () => {
    assert.deepEqual(parseApprovalStatement(buildApprovalStatement(approval)), approval);
  });

  for (const field of ['model', 'subjectDigest', 'policyDigest', 'evidenceDigest'] as const) {
    it(`do not count when the ${field} is another`, () => {
      assert.equal(scopeProblem(approval, approval), undefined);
      const other = field === 'model' ? 'other' : digest('f');
      assert.notEqual(scopeProblem(approval, { ...approval, [field]: other }), undefined);
    });
  }

  it('count once per person, and never fewer than one is enough', () => {
    assert.equal(quorumProblem([approval], 1), undefined);
    assert.match(quorumProblem([approval, { ...approval, comment: 'again' }], 2) ?? '', /1 of 2/);
    assert.equal(quorumProblem([approval, { ...approval, approver: 'bob' }], 2), undefined);
    for (const required of [0, -1, Number.NaN, 0.5])
      assert.notEqual(quorumProblem([approval], required), undefined);
  });

  it('are asked for in the number that was signed, also when the stored number was lowered', () => {
    assert.match(quorumProblem([{ ...approval, requiredApprovals: 2 }], 1) ?? '', /1 of 2/);
  });

  it('are outvoted by a single rejection', () => {
    const rejection = { ...approval, approver: 'eve', decision: 'rejected' } as const;
    assert.match(
      quorumProblem([approval, { ...approval, approver: 'bob' }, rejection], 1) ?? '',
      /rejected by eve/,
    );
  });

  const wrong: readonly (readonly [string, Partial<Record<keyof ApprovalDecision, unknown>>])[] = [
    ['decided after its expiry', { decidedAt: '2026-01-08T10:00:00.001Z' }],
    ['without an approver', { approver: '' }],
    ['with an unknown decision', { decision: 'maybe' }],
    ['with a local time', { decidedAt: '2026-01-01T10:00:00+01:00' }],
    ['for no digest', { evidenceDigest: 'latest' }],
    ['that require nobody', { requiredApprovals: 0 }],
  ];
  for (const [what, change] of wrong) {
    it(`${what} can neither be signed nor read`, () => {
      const decision = { ...approval, ...change } as ApprovalDecision;
      assert.throws(() => buildApprovalStatement(decision), SlipwayError);
      const { predicate, ...statement } = buildApprovalStatement(approval);
      const forged = { ...statement, predicate: { ...predicate, ...change } };
      assert.throws(
        () => parseApprovalStatement(forged),
        (error) => error instanceof SlipwayError && error.code === 'SIGNATURE_INVALID',
      );
    });
  }
});

import { strict as assert } from 'node:assert';
import { describe, it } from 'mocha';
import { SlipwayError } from '../../../domain/errors.ts';
import type { ErrorCode } from '../../../domain/errors.ts';
import { approvalsNeeded } from '../../../domain/manifest/model-manifest.ts';
import { approvalState, checkCommand, checkDecision } from '../../../domain/release/decide.ts';
import type { ReviewState } from '../../../domain/release/decide.ts';

const refused = (code: ErrorCode, run: () => void): void =>
  assert.throws(run, (error: unknown) => error instanceof SlipwayError && error.code === code);

const review: ReviewState = {
  phase: 'approve',
  outcome: null,
  submittedBy: 'ann',
  candidate: 'sha256:aa',
  decisions: [],
};

describe('approvals', () => {
  it('are refused to the submitter, on another digest, outside the review, twice, and after a rejection', () => {
    const by = (actor: string, digest = 'sha256:aa') => ({ actor, digest });
    checkDecision(review, by('bob'));
    refused('FOUR_EYES', () => checkDecision(review, by('ann')));
    refused('STALE_REVIEW', () => checkDecision(review, by('bob', 'sha256:bb')));
    for (const phase of [
      'snapshot',
      'train',
      'validate',
      'register',
      'shadow',
      'canary',
      'promote',
      'done',
    ] as const) {
      refused('WRONG_PHASE', () => checkDecision({ ...review, phase }, by('bob')));
    }
    const approved = { ...review, decisions: [{ approver: 'bob', decision: 'approved' }] } as const;
    refused('ALREADY_DECIDED', () => checkDecision(approved, by('bob')));
    checkDecision(approved, by('cat'));
    const rejected = { ...review, decisions: [{ approver: 'bob', decision: 'rejected' }] } as const;
    refused('ALREADY_DECIDED', () => checkDecision(rejected, by('cat')));
  });

  it('suffice only when enough of them have not expired, and one rejection ends it', () => {
    const approval = (expiresAtMs: number) => ({ decision: 'approved', expiresAtMs }) as const;
    assert.equal(approvalState([], 1, 0), 'open');
    assert.equal(approvalState([approval(10)], 1, 9), 'approved');
    assert.equal(approvalState([approval(10)], 1, 10), 'open');
    assert.equal(approvalState([approval(10), approval(99)], 2, 50), 'open');
    assert.equal(approvalState([approval(10), { decision: 'rejected', expiresAtMs: 10 }], 1, 0), 'rejected');
  });

  it('a first release needs one more, whatever its tier', () => {
    assert.deepEqual(
      [
        approvalsNeeded('low', false),
        approvalsNeeded('low', true),
        approvalsNeeded('high', false),
        approvalsNeeded('high', true),
      ],
      [1, 2, 2, 3],
    );
  });
});

describe('operator commands', () => {
  const at = (
    phase: 'train' | 'approve' | 'shadow' | 'canary' | 'promote' | 'done',
    paused = false,
    waiting = false,
  ) => ({ phase, paused, waiting });

  it('abort works until the promotion, the others only while traffic moves', () => {
    for (const phase of ['train', 'approve', 'shadow', 'canary'] as const) checkCommand(at(phase), 'abort');
    for (const phase of ['promote', 'done'] as const)
      refused('WRONG_PHASE', () => checkCommand(at(phase), 'abort'));
    for (const command of ['pause', 'skipStep', 'promoteNow'] as const) {
      refused('WRONG_PHASE', () => checkCommand(at('approve'), command));
      checkCommand(at('canary'), command);
    }
  });

  it('pause is refused when paused, resume when there is nothing to resume', () => {
    refused('WRONG_PHASE', () => checkCommand(at('canary', true), 'pause'));
    refused('WRONG_PHASE', () => checkCommand(at('canary'), 'resume'));
    checkCommand(at('canary', true), 'resume');
    checkCommand(at('canary', false, true), 'resume');
  });
});

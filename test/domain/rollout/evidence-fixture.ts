/** Evidence and guardrails for the tests of `domain/rollout`, and arbitrary ones for property tests. */
import * as fc from 'fast-check';
import type { GuardrailName, GuardrailSpec } from '../../../domain/manifest/model-manifest.ts';
import { NO_COUNTS } from '../../../domain/rollout/evidence.ts';
import type { ArmCounts, Segment } from '../../../domain/rollout/evidence.ts';
import type { StepEvidence } from '../../../domain/rollout/judge.ts';

export const guardrail = (name: GuardrailName, changed: Partial<GuardrailSpec> = {}): GuardrailSpec => ({
  name,
  tolerance: 0.1,
  margin: 2,
  negligibleRate: 0.001,
  ...changed,
});

export const counts = (changed: Partial<ArmCounts>): ArmCounts => ({ ...NO_COUNTS, ...changed });

export const segment = (
  share: number,
  candidate: Partial<ArmCounts>,
  champion: Partial<ArmCounts>,
): Segment => ({
  share,
  candidate: counts(candidate),
  champion: counts(champion),
});

/** A canary step that has all it needs: 10 % of traffic, the champion's error rate, time and samples enough. */
export const healthyStep = (changed: Partial<StepEvidence> = {}): StepEvidence => ({
  kind: 'canary',
  segments: [segment(0.1, { requests: 20_000, errors: 100 }, { requests: 180_000, errors: 900 })],
  guardrails: [guardrail('errors')],
  minSamples: 200,
  minDurationMs: 60_000,
  maxDurationMs: 3_600_000,
  elapsedMs: 600_000,
  silentMs: 1000,
  ...changed,
});

/** A quarter of all requests may be bad, so that tests see every combination of rates. */
const arbitraryCounts: fc.Arbitrary<ArmCounts> = fc
  .record({ requests: fc.nat(20_000), pairs: fc.nat(20_000), labelled: fc.nat(20_000) })
  .chain(({ requests, pairs, labelled }) =>
    fc.record({
      requests: fc.constant(requests),
      errors: fc.nat(Math.floor(requests / 4)),
      slow: fc.nat(Math.floor(requests / 4)),
      invalid: fc.nat(Math.floor(requests / 4)),
      pairs: fc.constant(pairs),
      diverged: fc.nat(Math.floor(pairs / 4)),
      labelled: fc.constant(labelled),
      wrong: fc.nat(Math.floor(labelled / 4)),
    }),
  );

export const arbitraryShare = fc.integer({ min: 1, max: 9999 }).map((basisPoints) => basisPoints / 10_000);

export const arbitrarySegment: fc.Arbitrary<Segment> = fc.record({
  share: arbitraryShare,
  champion: arbitraryCounts,
  candidate: arbitraryCounts,
});

export const arbitraryName = fc.constantFrom<GuardrailName>('errors', 'slow', 'invalid', 'diverged', 'wrong');

export const arbitraryGuardrail: fc.Arbitrary<GuardrailSpec> = fc
  .record({
    name: arbitraryName,
    tolerance: fc.double({ min: 0, max: 1, noNaN: true }),
    room: fc.double({ min: 0.05, max: 2, noNaN: true }),
    negligibleRate: fc.double({ min: 0.0001, max: 0.4, noNaN: true }),
  })
  .map(({ room, ...rest }) => ({ ...rest, margin: 1 + rest.tolerance + room }));

/** Equal as e-values to nine digits: a difference of 1e-9 in the logarithm, or in it where it is large. */
export function closeLogs(a: number, b: number): boolean {
  return a === b || Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(a), Math.abs(b));
}

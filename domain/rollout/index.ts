/**
 * What a rollout decides, and on what evidence: counts per arm in, one of four verdicts out (design §5).
 *
 * Owns the e-processes, the guardrails' tests, the sample-ratio check, the judgement of a step, and the arithmetic
 * of the gateway's local breaker. Promises:
 * - Looking costs nothing: every test is anytime-valid, so a step may be judged each second and stopped at once.
 * - A candidate can only lose by default: no data, stale data, a wrong split, an empty or unknown guardrail never
 *   give `PROVEN_SAFE`.
 * - A verdict depends on added-up counts alone and can be computed again from stored rows.
 * Time and chance are arguments or absent; nothing here does I/O. The operating characteristics are measured by
 * `bench/sequential` and published in `docs/benchmarks.md`.
 */
export { addCounts, eventsOf, NO_COUNTS } from './evidence.ts';
export type { ArmCounts, Segment } from './evidence.ts';
export type { GuardrailReading, StepVerdict, Verdict } from './verdict.ts';
export { judgeStep } from './judge.ts';
export type { StepEvidence } from './judge.ts';
export { guardrailsFor, readings } from './guardrail-tests.ts';
export type { StepKind } from './guardrail-tests.ts';
export { breakerReason, createBreaker, DEFAULT_BREAKER, recordOutcome } from './breaker.ts';
export type { Breaker, BreakerSettings, BreakerTrip } from './breaker.ts';

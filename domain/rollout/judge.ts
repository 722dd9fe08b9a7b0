/**
 * The decision of a rollout step: all evidence so far in, one of four verdicts or "go on" out. Pure, so an activity
 * may ask each second, a test may ask a million times, and an auditor may ask again next year.
 *
 * The order of the rules is the order of harm. A candidate that hurts is stopped on any evidence, also old or
 * incomplete evidence; a candidate is let through only when all of it is there: fresh, evenly split, enough, and
 * proof for each guardrail. Whatever is missing leads to a hold, then to a verdict that does not promote.
 *
 * The error rates hold per step: a release of k steps that is exactly as good as its champion is rolled back with a
 * probability of at most k·alphaRegression; a caller who wants it per release divides.
 */
import { SlipwayError } from '../errors.ts';
import type { GuardrailSpec } from '../manifest/model-manifest.ts';
import type { Segment } from './evidence.ts';
import { comparisonOf, guardrailsFor, readings } from './guardrail-tests.ts';
import type { StepKind } from './guardrail-tests.ts';
import { arms, evidence, grouped, seconds } from './reason.ts';
import { sampleRatioLogE } from './sample-ratio.ts';
import type { ArmTotals } from './sample-ratio.ts';
import type { GuardrailReading, StepVerdict, Verdict } from './verdict.ts';

export interface StepEvidence {
  readonly segments: readonly Segment[];
  /** All that the manifest declares; those that this kind of step can't measure are left out here. */
  readonly guardrails: readonly GuardrailSpec[];
  readonly kind: StepKind;
  /** Candidate requests below which nothing is proven. */
  readonly minSamples: number;
  readonly minDurationMs: number;
  readonly maxDurationMs: number;
  readonly elapsedMs: number;
  /** Since the last evidence row arrived; since the step began when none has. */
  readonly silentMs: number;
  /** Why a gateway's breaker took the candidate out. */
  readonly tripped?: string | null;
  /** Chance of alarming a harmless candidate, over all guardrails of the step together. Default 0.01. */
  readonly alphaRegression?: number;
  /** Chance of proving a harmful candidate safe, for each guardrail; it has to pass them all. Default 0.05. */
  readonly alphaSafety?: number;
  /** Chance of calling a correct split a mismatch. Default 0.001. */
  readonly alphaSampleRatio?: number;
  /** Silence after which nothing is proven. Default 10 s. */
  readonly holdAfterMs?: number;
  /** Silence after which the step ends. Default 60 s. */
  readonly lostAfterMs?: number;
}

/** The verdict on a step, or null while it should go on. */
export function judgeStep(input: StepEvidence): StepVerdict | null {
  const limits = requireLimits(input);
  const guardrails = guardrailsFor(input.kind, input.guardrails);
  const read = readings(input.segments, guardrails);
  const verdict = (name: Verdict, reason: string): StepVerdict => ({ verdict: name, reason, readings: read });

  if (input.tripped !== undefined && input.tripped !== null) {
    return verdict('REGRESSION', `a gateway took the candidate out of service: ${input.tripped}`);
  }
  const alarm = regressionAlarm(read, limits.alphaRegression);
  if (alarm !== null) return verdict('REGRESSION', alarm);

  const mismatch = sampleRatioMismatch(input.segments, guardrails, limits.alphaSampleRatio);
  if (mismatch !== null) return verdict('INCONCLUSIVE', mismatch);

  if (input.silentMs >= limits.lostAfterMs) {
    const reason = `no evidence has arrived for ${seconds(input.silentMs)} (limit ${seconds(limits.lostAfterMs)})`;
    return verdict('TELEMETRY_LOST', reason);
  }
  const lacking = lackingProof(input, read, limits);
  if (lacking.length === 0) {
    return verdict('PROVEN_SAFE', provenReason(input, read, limits.alphaSafety));
  }
  if (input.elapsedMs >= input.maxDurationMs) {
    return verdict(
      'INCONCLUSIVE',
      `not proven safe within ${seconds(input.elapsedMs)}: ${lacking.join('; ')}`,
    );
  }
  return null;
}

/** The strongest alarm; Bonferroni over the guardrails of the step keeps their joint error at α. */
function regressionAlarm(read: readonly GuardrailReading[], alpha: number): string | null {
  const needed = read.length / alpha;
  let worst: GuardrailReading | null = null;
  for (const reading of read) {
    if (reading.logRegression < Math.log(needed)) continue;
    if (worst === null || reading.logRegression > worst.logRegression) worst = reading;
  }
  if (worst === null) return null;
  return `${arms(worst)} (${evidence(worst.logRegression, needed)})`;
}

/**
 * Labels are tested like requests: were they to reach the champion's answers only, a candidate that is always wrong
 * would show no wrong answer at all and look proven.
 */
function sampleRatioMismatch(
  segments: readonly Segment[],
  guardrails: readonly GuardrailSpec[],
  alpha: number,
): string | null {
  const counted: ('requests' | 'labelled')[] = ['requests'];
  if (guardrails.some((guardrail) => guardrail.name === 'wrong')) counted.push('labelled');
  for (const what of counted) {
    const totals = segments.map(({ share, candidate, champion }) => {
      return { share, candidate: candidate[what], champion: champion[what] };
    });
    const log = sampleRatioLogE(totals);
    if (log < Math.log(1 / alpha)) continue;
    const { got, all, expected } = splitOf(totals);
    const events = what === 'requests' ? 'requests' : 'labels';
    return (
      `sample-ratio mismatch: the candidate got ${grouped(got)} of ${grouped(all)} ${events} where ` +
      `${grouped(Math.round(expected))} were expected (${evidence(log, 1 / alpha)}), so the arms cannot be compared`
    );
  }
  return null;
}

function splitOf(totals: readonly ArmTotals[]): { got: number; all: number; expected: number } {
  const split = { got: 0, all: 0, expected: 0 };
  for (const { share, candidate, champion } of totals) {
    split.got += candidate;
    split.all += candidate + champion;
    split.expected += share * (candidate + champion);
  }
  return split;
}

/** Everything that stands between the step and PROVEN_SAFE, each as a clause for a person; empty means proven. */
function lackingProof(input: StepEvidence, read: readonly GuardrailReading[], limits: Limits): string[] {
  const lacking: string[] = [];
  if (read.length === 0)
    lacking.push(`no guardrail applies to a ${input.kind} step, so nothing can be proven`);
  const compared = input.segments.some((segment) => segment.share < 1);
  const needed = 1 / limits.alphaSafety;
  for (const reading of read) {
    const missing = missingData(reading, compared);
    if (missing !== null) lacking.push(missing);
    else if (!(reading.logSafety >= Math.log(needed))) {
      lacking.push(`${arms(reading)} (${evidence(reading.logSafety, needed)})`);
    }
  }
  const requests = candidateRequests(input.segments);
  if (!(requests > 0 && requests >= input.minSamples)) {
    lacking.push(
      `${grouped(requests)} of at least ${grouped(Math.max(1, input.minSamples))} candidate requests`,
    );
  }
  if (!(input.elapsedMs >= input.minDurationMs)) {
    lacking.push(`${seconds(input.elapsedMs)} of at least ${seconds(input.minDurationMs)}`);
  }
  if (!(input.silentMs < limits.holdAfterMs)) {
    lacking.push(`no evidence has arrived for ${seconds(input.silentMs)}`);
  }
  return lacking;
}

/** A guardrail nobody measured. At a share of 1 the champion has no traffic and only an absolute rate can be proven. */
function missingData(reading: GuardrailReading, compared: boolean): string | null {
  const { guardrail, candidate, champion } = reading;
  const what = guardrail === 'wrong' ? 'no labels have' : 'no data has';
  if (candidate.trials === 0) return `${guardrail}: ${what} arrived for the candidate`;
  if (comparisonOf(guardrail) === 'ratio' && compared && champion.trials === 0) {
    return `${guardrail}: ${what} arrived for the champion`;
  }
  return null;
}

function provenReason(input: StepEvidence, read: readonly GuardrailReading[], alpha: number): string {
  const proofs = read.map((reading) => `${arms(reading)} (${evidence(reading.logSafety, 1 / alpha)})`);
  const requests = grouped(candidateRequests(input.segments));
  return `proven safe after ${seconds(input.elapsedMs)} and ${requests} candidate requests: ${proofs.join('; ')}`;
}

function candidateRequests(segments: readonly Segment[]): number {
  return segments.reduce((sum, segment) => sum + segment.candidate.requests, 0);
}

interface Limits {
  readonly alphaRegression: number;
  readonly alphaSafety: number;
  readonly alphaSampleRatio: number;
  readonly holdAfterMs: number;
  readonly lostAfterMs: number;
}

/** NaN compares as false with everything, so an unchecked one would switch a rule off without a word. */
function requireLimits(input: StepEvidence): Limits {
  const limits: Limits = {
    alphaRegression: input.alphaRegression ?? 0.01,
    alphaSafety: input.alphaSafety ?? 0.05,
    alphaSampleRatio: input.alphaSampleRatio ?? 0.001,
    holdAfterMs: input.holdAfterMs ?? 10_000,
    lostAfterMs: input.lostAfterMs ?? 60_000,
  };
  for (const name of ['alphaRegression', 'alphaSafety', 'alphaSampleRatio'] as const) {
    if (!(limits[name] > 0 && limits[name] < 1)) {
      throw new SlipwayError('INVALID_PARAMETER', `${name} must be between 0 and 1, not ${limits[name]}`);
    }
  }
  const quantities = {
    elapsedMs: input.elapsedMs,
    silentMs: input.silentMs,
    holdAfterMs: limits.holdAfterMs,
    lostAfterMs: limits.lostAfterMs,
    minSamples: input.minSamples,
    minDurationMs: input.minDurationMs,
    maxDurationMs: input.maxDurationMs,
  };
  for (const [name, value] of Object.entries(quantities)) {
    if (!(value >= 0)) throw new SlipwayError('INVALID_PARAMETER', `${name} must be 0 or more, not ${value}`);
  }
  return limits;
}

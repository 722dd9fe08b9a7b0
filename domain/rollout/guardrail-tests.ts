/**
 * Which tests a guardrail runs: a regression test and a safety test, each with its null hypothesis, for every
 * guardrail name. A closed union: an unknown name is an error, never "no test".
 */
import { SlipwayError } from '../errors.ts';
import type { GuardrailName, GuardrailSpec } from '../manifest/model-manifest.ts';
import { binomialLogE, logMeanExp, ratioLogE } from './e-process.ts';
import { eventsOf } from './evidence.ts';
import type { Segment } from './evidence.ts';
import type { GuardrailReading } from './verdict.ts';

export type StepKind = 'shadow' | 'canary';

/** How many times worse a regression may be: a mixture, so that both a doubling and a total failure are found fast. */
const REGRESSION_RATIOS: readonly number[] = [1.5, 2, 3, 5, 10, 20];

/**
 * How good a safe candidate may be, relative to the champion: all below the margin (> 1). 1 is the usual truth, the
 * lower ones prove a better candidate with fewer events. The geometric middle between 1 and the margin is for a
 * candidate that is slightly worse yet safe: with the other three alone, evidence for one of 1.25 × at a margin of 2
 * grows so slowly that the slowest of 20 proofs took 1.8 times as long (1,000 simulated runs), while a quarter in its
 * place gained a candidate of half the champion's rate no more than a tenth.
 */
function safetyRatios(margin: number): readonly number[] {
  return [0.5, 0.75, 1, Math.sqrt(margin)];
}

/** How good a safe candidate may be as a part of an absolute bound; 0 is a candidate that never fails. */
const SAFETY_RATE_PARTS: readonly number[] = [0, 0.1, 0.25, 0.5];

/** A bound near 1 can't be exceeded and so never alarms; keep room above it. */
const HIGHEST_RATE = 0.99;

/**
 * The guardrails that a step of this kind can measure. `diverged` needs the same request on both arms, so only a
 * shadow has it. `wrong` needs an outcome that belongs to the answer given, so only a canary has it: nobody acted on
 * a mirrored answer.
 */
export function guardrailsFor(
  kind: StepKind,
  guardrails: readonly GuardrailSpec[],
): readonly GuardrailSpec[] {
  return guardrails.filter((guardrail) => {
    const only = onlyIn(guardrail.name);
    return only === null || only === kind;
  });
}

function onlyIn(name: GuardrailName): StepKind | null {
  switch (name) {
    case 'errors':
    case 'slow':
    case 'invalid':
      return null;
    case 'diverged':
      return 'shadow';
    case 'wrong':
      return 'canary';
    default:
      return unknownGuardrail(name);
  }
}

/** `ratio`: against the champion's rate. `rate`: against the noise floor, since the champion has no such events. */
export function comparisonOf(name: GuardrailName): 'ratio' | 'rate' {
  switch (name) {
    case 'errors':
    case 'slow':
    case 'invalid':
    case 'wrong':
      return 'ratio';
    case 'diverged':
      return 'rate';
    default:
      return unknownGuardrail(name);
  }
}

/**
 * Evidence of a regression, as a log e-value.
 * - ratio: H0 "candidate's rate ≤ champion's × (1 + tolerance)". Purely relative: three errors per million against
 *   one are alarmed too, once that is certain. `negligibleRate` excuses nothing here, it only helps to prove safety;
 *   a candidate that is surely several times worse deserves a look however rare the event.
 * - rate: H0 "candidate's rate ≤ negligibleRate × (1 + tolerance)".
 */
export function regressionLogE(guardrail: GuardrailSpec, segments: readonly Segment[]): number {
  const tolerated = 1 + guardrail.tolerance;
  if (comparisonOf(guardrail.name) === 'ratio') {
    const alternatives = REGRESSION_RATIOS.map((ratio) => ratio * tolerated);
    return ratioLogE(badEvents(guardrail.name, segments), tolerated, alternatives);
  }
  const bound = Math.min(guardrail.negligibleRate * tolerated, HIGHEST_RATE);
  const highest = 1 - (1 - bound) / 20;
  const { trials, bad } = candidateTotal(guardrail.name, segments);
  return binomialLogE(
    trials,
    bad,
    bound,
    REGRESSION_RATIOS.map((ratio) => Math.min(ratio * bound, highest)),
  );
}

/**
 * Evidence of safety, as a log e-value.
 * - ratio: H0 "candidate's rate ≥ max(champion's × margin, negligibleRate)". When neither arm has a bad event (the
 *   best case) a ratio has nothing to count and its e-value stays 1 for ever, so a ratio alone could never prove the
 *   best candidates safe; "rarer than negligibleRate" can be proven from the candidate's good answers alone. The
 *   null says both "≥ champion's × margin" and "≥ negligibleRate", so under it *each* of the two e-processes is a
 *   supermartingale, therefore so is their average, and no α is split: the stronger of the two decides, at the price
 *   of a factor of 2. With negligibleRate 0 nothing is negligible and the ratio stands alone.
 * - rate: H0 "candidate's rate ≥ negligibleRate × margin".
 */
export function safetyLogE(guardrail: GuardrailSpec, segments: readonly Segment[]): number {
  const { trials, bad } = candidateTotal(guardrail.name, segments);
  if (comparisonOf(guardrail.name) === 'rate') {
    return rateSafety(trials, bad, Math.min(guardrail.negligibleRate * guardrail.margin, HIGHEST_RATE));
  }
  const ratio = ratioLogE(
    badEvents(guardrail.name, segments),
    guardrail.margin,
    safetyRatios(guardrail.margin),
  );
  if (guardrail.negligibleRate === 0) return ratio;
  return logMeanExp([ratio, rateSafety(trials, bad, guardrail.negligibleRate)]);
}

function rateSafety(trials: number, bad: number, bound: number): number {
  return binomialLogE(
    trials,
    bad,
    bound,
    SAFETY_RATE_PARTS.map((part) => part * bound),
  );
}

/** Both e-values and the counts behind them, for each guardrail in the order given. */
export function readings(
  segments: readonly Segment[],
  guardrails: readonly GuardrailSpec[],
): readonly GuardrailReading[] {
  return guardrails.map((guardrail) => {
    requireGuardrail(guardrail);
    for (const segment of segments) requireSegment(guardrail.name, segment);
    return {
      guardrail: guardrail.name,
      logRegression: regressionLogE(guardrail, segments),
      logSafety: safetyLogE(guardrail, segments),
      champion: total(segments.map((segment) => eventsOf(guardrail.name, segment.champion))),
      candidate: candidateTotal(guardrail.name, segments),
    };
  });
}

function badEvents(name: GuardrailName, segments: readonly Segment[]) {
  return segments.map((segment) => ({
    share: segment.share,
    candidateBad: eventsOf(name, segment.candidate).bad,
    championBad: eventsOf(name, segment.champion).bad,
  }));
}

function candidateTotal(name: GuardrailName, segments: readonly Segment[]) {
  return total(segments.map((segment) => eventsOf(name, segment.candidate)));
}

function total(events: readonly { trials: number; bad: number }[]): { trials: number; bad: number } {
  let trials = 0;
  let bad = 0;
  for (const event of events) {
    trials += event.trials;
    bad += event.bad;
  }
  return { trials, bad };
}

function requireGuardrail({ name, tolerance, margin, negligibleRate }: GuardrailSpec): void {
  const problems: string[] = [];
  if (!(tolerance >= 0 && tolerance < Infinity))
    problems.push(`tolerance must be 0 or more, not ${tolerance}`);
  if (!(margin > 1 && margin < Infinity)) problems.push(`margin must be above 1, not ${margin}`);
  // Without a noise floor a single diverging pair would be infinitely surprising and safety beyond proof.
  const lowest = comparisonOf(name) === 'rate' ? 'above 0' : '0 or more';
  if (!(negligibleRate < 1 && (negligibleRate > 0 || (negligibleRate === 0 && lowest === '0 or more')))) {
    problems.push(`negligibleRate must be ${lowest} and below 1, not ${negligibleRate}`);
  }
  if (problems.length > 0) {
    throw new SlipwayError('INVALID_PARAMETER', `guardrail ${name}: ${problems.join('; ')}`);
  }
}

/** Counts that can't be are a fault of whoever counted. They must not become a verdict, so this throws. */
function requireSegment(name: GuardrailName, segment: Segment): void {
  for (const arm of ['champion', 'candidate'] as const) {
    const { trials, bad } = eventsOf(name, segment[arm]);
    if (!Number.isSafeInteger(trials) || !Number.isSafeInteger(bad) || bad < 0 || bad > trials) {
      throw new SlipwayError(
        'INTERNAL',
        `evidence of ${name} on the ${arm} is impossible: ${bad} of ${trials}`,
      );
    }
  }
  if (!(segment.share >= 0 && segment.share <= 1)) {
    throw new SlipwayError('INTERNAL', `a traffic share of ${segment.share} is impossible`);
  }
}

function unknownGuardrail(name: never): never {
  throw new SlipwayError('INVALID_PARAMETER', `there is no guardrail "${String(name)}"`);
}

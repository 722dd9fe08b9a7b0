/**
 * A rollout step in fast motion: requests arrive as a Poisson stream, each goes to the candidate with probability
 * `share`, each is bad with its arm's rate. Thinned Poisson streams are independent Poisson counts, so one look of
 * one second costs a few draws instead of hundreds of requests, and is exact.
 *
 * The e-values are those of `domain/rollout`; only the loop of `judgeStep` is left out, because nothing can change
 * between looks without new events. `test/domain/rollout/operating-characteristics.test.ts` holds both against
 * each other.
 */
import type { GuardrailSpec } from '../../domain/manifest/model-manifest.ts';
import { createBreaker, recordOutcome } from '../../domain/rollout/breaker.ts';
import { NO_COUNTS } from '../../domain/rollout/evidence.ts';
import type { ArmCounts, Segment } from '../../domain/rollout/evidence.ts';
import { regressionLogE, safetyLogE } from '../../domain/rollout/guardrail-tests.ts';
import { sampleRatioLogE } from '../../domain/rollout/sample-ratio.ts';
import type { Rng } from '../../test/support/rng.ts';

/** Guardrails whose bad events the simulation draws: those counted per request. */
export type SimulatedName = 'errors' | 'slow' | 'invalid';

export interface SimulatedGuardrail {
  readonly spec: GuardrailSpec & { readonly name: SimulatedName };
  readonly championRate: number;
  readonly candidateRate: number;
}

export interface Scenario {
  readonly rps: number;
  readonly share: number;
  readonly guardrails: readonly SimulatedGuardrail[];
  /** Looks before which the candidate is exactly as good as the champion. */
  readonly healthyLooks?: number;
  readonly looks: number;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Evidence as it grows, one look (second) after the other. */
interface RunningStep {
  readonly segment: Segment;
  /** Advances one look and returns bit i when guardrail i had a bad event in it. */
  advance(): number;
}

export function startStep(rng: Rng, { rps, share, guardrails, healthyLooks = 0 }: Scenario): RunningStep {
  const champion: Mutable<ArmCounts> = { ...NO_COUNTS };
  const candidate: Mutable<ArmCounts> = { ...NO_COUNTS };
  let look = 0;
  const advance = (): number => {
    look += 1;
    const healthy = look <= healthyLooks;
    let changed = 0;
    // Bad events of different guardrails hit different requests here, so that totals stay the sum of their parts.
    let ownLeft = 1;
    let otherLeft = 1;
    guardrails.forEach(({ spec, championRate, candidateRate }, index) => {
      const rate = healthy ? championRate : Math.min(candidateRate, ownLeft);
      const own = rng.poisson(rps * share * rate);
      const other = rng.poisson(rps * (1 - share) * championRate);
      ownLeft -= rate;
      otherLeft -= championRate;
      candidate[spec.name] += own;
      champion[spec.name] += other;
      candidate.requests += own;
      champion.requests += other;
      if (own + other > 0) changed |= 1 << index;
    });
    candidate.requests += rng.poisson(rps * share * Math.max(0, ownLeft));
    champion.requests += rng.poisson(rps * (1 - share) * Math.max(0, otherLeft));
    return changed;
  };
  return { segment: { share, champion, candidate }, advance };
}

export interface Outcome {
  /** Look of the decision, counted from the fault on; null when there was none. */
  readonly look: number | null;
  /** The candidate's bad answers of the first guardrail until then, since the fault. */
  readonly badServed: number;
}

/** Looks until the regression alarm over all guardrails together, at `alpha`. */
export function untilRegression(rng: Rng, scenario: Scenario, alpha: number): Outcome {
  const { guardrails, looks, healthyLooks = 0 } = scenario;
  const step = startStep(rng, scenario);
  const needed = Math.log(guardrails.length / alpha);
  const first = guardrails[0] as SimulatedGuardrail;
  let before = 0;
  for (let look = 1; look <= looks; look += 1) {
    const changed = step.advance();
    if (look === healthyLooks) before = step.segment.candidate[first.spec.name];
    for (let i = 0; i < guardrails.length; i += 1) {
      const guardrail = guardrails[i] as SimulatedGuardrail;
      if ((changed & (1 << i)) === 0 || regressionLogE(guardrail.spec, [step.segment]) < needed) continue;
      return { look: look - healthyLooks, badServed: step.segment.candidate[first.spec.name] - before };
    }
  }
  return { look: null, badServed: step.segment.candidate[first.spec.name] - before };
}

/** Looks until every guardrail is proven safe in the same look. */
export function untilProof(rng: Rng, scenario: Scenario, alpha: number): number | null {
  const step = startStep(rng, scenario);
  const needed = Math.log(1 / alpha);
  for (let look = 1; look <= scenario.looks; look += 1) {
    step.advance();
    if (scenario.guardrails.every(({ spec }) => safetyLogE(spec, [step.segment]) >= needed)) return look;
  }
  return null;
}

/** Looks until a split that is really `actualShare` is told from the nominal `share`. */
export function untilMismatch(
  rng: Rng,
  split: { rps: number; share: number; actualShare: number; looks: number },
  alpha: number,
): number | null {
  const totals = { share: split.share, candidate: 0, champion: 0 };
  const needed = Math.log(1 / alpha);
  for (let look = 1; look <= split.looks; look += 1) {
    totals.candidate += rng.poisson(split.rps * split.actualShare);
    totals.champion += rng.poisson(split.rps * (1 - split.actualShare));
    if (sampleRatioLogE([totals]) >= needed) return look;
  }
  return null;
}

/** Failing requests until the local breaker trips, after `healthy` requests at `healthyRate`. */
export function requestsUntilTrip(
  rng: Rng,
  arm: { healthy: number; healthyRate: number; failureRate: number; requests: number },
): { requests: number | null; failures: number } {
  const breaker = createBreaker();
  for (let i = 0; i < arm.healthy; i += 1) recordOutcome(breaker, rng.chance(arm.healthyRate));
  let failures = 0;
  for (let request = 1; request <= arm.requests; request += 1) {
    const failed = rng.chance(arm.failureRate);
    if (failed) failures += 1;
    if (recordOutcome(breaker, failed)) return { requests: request, failures };
  }
  return { requests: null, failures };
}

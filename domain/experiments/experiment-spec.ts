/**
 * What an experiment is: arms, who gets which arm, and what counts as success.
 */
import type { Problem } from '../errors.ts';
import { pointer } from '../manifest/json-pointer.ts';
import { FULL_WEIGHT } from '../routing/route.ts';

export interface ExperimentArm {
  readonly name: string;
  /** `champion`, an alias of the registry, or `sha256:<64 hex>`. Exactly one arm is the champion: the control. */
  readonly version: string;
  /** A/B: the share, of 10,000. Bandits set their own shares; absent there. */
  readonly weightBp?: number;
}

interface Discounted {
  /** Weight of a reward per decision made since its own. 0.9999 remembers about 10,000 decisions; 1 all. */
  readonly gamma: number;
  /** No share may differ by more from any that the arm had within the last minute. */
  readonly stepBp: number;
}

interface Floored {
  /** Share of decisions that are spread evenly for ever, over all arms together. */
  readonly floor: number;
}

/** Bandits whose decisions depend on shares alone. */
export type SharePolicy =
  | ({ readonly kind: 'bandit'; readonly algorithm: 'discounted-thompson' | 'ucb' } & Discounted & Floored)
  | ({
      readonly kind: 'bandit';
      readonly algorithm: 'epsilon-greedy';
      /** Plays the part of the floor. */
      readonly epsilon: number;
    } & Discounted);

export interface LinUcbPolicy extends Floored {
  readonly kind: 'bandit';
  readonly algorithm: 'linucb';
  /** Width of the upper bound in standard deviations. */
  readonly width: number;
  /** Weight of the ridge, in decisions. */
  readonly ridge: number;
  readonly gamma: number;
  /** Feature columns of the context; an intercept is added. */
  readonly context: readonly string[];
}

export type ExperimentPolicy = { readonly kind: 'ab' } | SharePolicy | LinUcbPolicy;

export interface ExperimentMetric {
  /** `conversion`: 0 or 1. `reward`: anything between. */
  readonly kind: 'conversion' | 'reward';
  /** Without a reward within the window: `unknown` leaves the decision out, `zero` counts it as 0 at the window's end. */
  readonly absent: 'unknown' | 'zero';
}

export interface ExperimentSpec {
  readonly name: string;
  readonly arms: readonly ExperimentArm[];
  readonly policy: ExperimentPolicy;
  readonly metric: ExperimentMetric;
  /** Chance that any comparison's interval ever misses the truth, over all arms and looks together. */
  readonly alpha: number;
  /** Rewards of each arm below which there is no winner. */
  readonly minSamples: number;
  /** A smaller difference of means is not worth waiting for. */
  readonly minimumEffect: number;
  readonly maxDurationMs: number;
  /** After its decision, a reward that arrives later is counted as late and not used. */
  readonly rewardWindowMs: number;
}

export const EXPERIMENT_DEFAULTS = {
  algorithm: 'discounted-thompson',
  gamma: 0.9999,
  floor: 0.05,
  epsilon: 0.1,
  stepBp: 1000,
  linUcbWidth: 1,
  linUcbRidge: 1,
  metric: { kind: 'conversion', absent: 'unknown' },
  alpha: 0.05,
  minSamples: 1000,
  minimumEffect: 0.01,
  maxDurationMs: 14 * 86_400_000,
  rewardWindowMs: 86_400_000,
} as const;

const MAX_ARMS = 10;
const MAX_CONTEXT = 64;
const NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const VERSION = /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?|sha256:[0-9a-f]{64})$/;

type Report = (path: readonly (string | number)[], reason: string) => void;

/** @returns everything that is wrong, with pointers into the experiment. */
export function checkExperiment(spec: ExperimentSpec): readonly Problem[] {
  const problems: Problem[] = [];
  const report: Report = (path, reason) => void problems.push({ path: pointer(...path), reason });
  if (!NAME.test(spec.name)) report(['name'], 'must be lower-case letters, digits and dashes, at most 63');
  checkArms(spec, report);
  checkPolicy(spec, report);
  between(spec.alpha, 0, 0.5, ['alpha'], report);
  between(spec.minimumEffect, 0, 1, ['minimumEffect'], report);
  if (!(Number.isInteger(spec.minSamples) && spec.minSamples >= 1)) {
    report(['minSamples'], 'must be a whole number of at least 1');
  }
  if (!(spec.rewardWindowMs >= 1000)) report(['rewardWindow'], 'must be at least a second');
  if (!(spec.maxDurationMs >= spec.rewardWindowMs)) {
    report(['maxDuration'], 'must not be shorter than the reward window');
  }
  return problems;
}

function checkArms({ arms, policy }: ExperimentSpec, report: Report): void {
  if (arms.length < 2 || arms.length > MAX_ARMS) report(['arms'], `must be 2 to ${MAX_ARMS} arms`);
  const champions = arms.filter(({ version }) => version === 'champion').length;
  if (champions !== 1) report(['arms'], `exactly one arm must be the champion, not ${champions}`);
  let total = 0;
  arms.forEach(({ name, version, weightBp }, index) => {
    if (!NAME.test(name)) {
      report(['arms', index, 'name'], 'must be lower-case letters, digits and dashes, at most 63');
    }
    if (arms.findIndex((arm) => arm.name === name) < index) {
      report(['arms', index, 'name'], `there is already an arm ${name}`);
    }
    if (!VERSION.test(version)) {
      report(['arms', index, 'version'], 'must be champion, an alias, or sha256: and 64 hexadecimal digits');
    } else if (arms.findIndex((arm) => arm.version === version) < index && version !== 'champion') {
      report(['arms', index, 'version'], 'is also the version of another arm');
    }
    total += weightBp ?? 0;
    if (policy.kind === 'bandit') {
      if (weightBp !== undefined) report(['arms', index, 'weight'], 'a bandit sets the shares itself');
    } else if (!(Number.isInteger(weightBp) && (weightBp as number) >= 1)) {
      report(['arms', index, 'weight'], 'must be at least 0.01 % in whole basis points');
    }
  });
  if (policy.kind === 'ab' && total !== FULL_WEIGHT) {
    report(['arms'], `the weights must add up to ${FULL_WEIGHT}, not ${total}`);
  }
}

function checkPolicy({ policy }: ExperimentSpec, report: Report): void {
  if (policy.kind === 'ab') return;
  if (!(policy.gamma > 0.9 && policy.gamma <= 1))
    report(['policy', 'gamma'], 'must be above 0.9 and at most 1');
  const floor = policy.algorithm === 'epsilon-greedy' ? 'epsilon' : 'floor';
  const value = policy.algorithm === 'epsilon-greedy' ? policy.epsilon : policy.floor;
  between(value, 0, 1, ['policy', floor], report);
  if (policy.algorithm !== 'linucb') {
    if (!(Number.isInteger(policy.stepBp) && policy.stepBp >= 1 && policy.stepBp <= FULL_WEIGHT)) {
      report(['policy', 'step'], `must be 1 to ${FULL_WEIGHT} basis points`);
    }
    return;
  }
  if (policy.context.length < 1 || policy.context.length > MAX_CONTEXT) {
    report(['policy', 'context'], `must name 1 to ${MAX_CONTEXT} features`);
  }
  policy.context.forEach((name, index) => {
    if (policy.context.indexOf(name) < index) {
      report(['policy', 'context', index], `${name} is already in the context`);
    }
  });
  if (!(policy.width >= 0 && policy.width < Infinity)) report(['policy', 'width'], 'must be 0 or more');
  if (!(policy.ridge > 0 && policy.ridge < Infinity)) report(['policy', 'ridge'], 'must be above 0');
}

function between(value: number, low: number, high: number, path: readonly string[], report: Report): void {
  if (!(value > low && value < high)) report(path, `must be between ${low} and ${high}, both excluded`);
}

/** `spec.experiments` of a manifest: as it is written, what it means, and what is wrong with it. */
import { checkPlan, EXPERIMENT_DEFAULTS as DEFAULTS } from '../experiments/index.ts';
import type { ExperimentMetric, ExperimentPlan, ExperimentPolicy } from '../experiments/index.ts';
import { parseDuration } from './duration.ts';
import { pointer } from './json-pointer.ts';
import { checkDuration, unique } from './report-problem.ts';
import type { Report } from './report-problem.ts';

export type BanditAlgorithm = Extract<ExperimentPolicy, { kind: 'bandit' }>['algorithm'];
export const BANDIT_ALGORITHMS: readonly BanditAlgorithm[] = [
  'discounted-thompson',
  'epsilon-greedy',
  'ucb',
  'linucb',
];

export interface PolicyDocument {
  readonly kind: 'ab' | 'bandit';
  /** These only of bandits. */
  readonly algorithm?: BanditAlgorithm;
  readonly gamma?: number;
  readonly floor?: number;
  readonly epsilon?: number;
  /** Percentage points by which a share may move within a minute. */
  readonly step?: number;
  readonly width?: number;
  readonly ridge?: number;
  readonly context?: readonly string[];
}

export interface ExperimentDocument {
  readonly name: string;
  readonly hypothesis?: string;
  readonly policy?: PolicyDocument;
  readonly arms: readonly { readonly name: string; readonly version: string; readonly weight?: number }[];
  readonly metric?: Partial<ExperimentMetric>;
  readonly alpha?: number;
  readonly minEffect?: number;
  readonly minSamples?: number;
  readonly maxDuration?: string;
  readonly rewardWindow?: string;
  readonly lease?: string;
}

export const EXPERIMENT_DURATIONS = { maxDuration: '14d', rewardWindow: '24h', lease: '5m' } as const;

export function parseExperiments(documents: readonly ExperimentDocument[] = []): readonly ExperimentPlan[] {
  return documents.map(parseExperiment);
}

function parseExperiment(document: ExperimentDocument): ExperimentPlan {
  const { maxDuration, rewardWindow, lease } = { ...EXPERIMENT_DURATIONS, ...document };
  return {
    name: document.name,
    hypothesis: document.hypothesis ?? null,
    policy: parsePolicy(document.policy),
    arms: document.arms.map(({ name, version, weight }) => ({
      name,
      // The beginning of a digest may be written with its algorithm or without.
      version: /^sha256:[0-9a-f]{12,63}$/.test(version) ? version.slice('sha256:'.length) : version,
      ...(weight === undefined ? {} : { weightBp: basisPoints(weight) }),
    })),
    metric: { ...DEFAULTS.metric, ...document.metric },
    alpha: document.alpha ?? DEFAULTS.alpha,
    minimumEffect: document.minEffect ?? DEFAULTS.minimumEffect,
    minSamples: document.minSamples ?? DEFAULTS.minSamples,
    maxDurationMs: milliseconds(maxDuration),
    rewardWindowMs: milliseconds(rewardWindow),
    leaseMs: milliseconds(lease),
  };
}

function parsePolicy(policy: PolicyDocument = { kind: 'ab' }): ExperimentPolicy {
  if (policy.kind === 'ab') return { kind: 'ab' };
  const { kind, algorithm = DEFAULTS.algorithm, gamma = DEFAULTS.gamma, floor = DEFAULTS.floor } = policy;
  const stepBp = policy.step === undefined ? DEFAULTS.stepBp : basisPoints(policy.step);
  switch (algorithm) {
    case 'linucb': {
      const { width = DEFAULTS.linUcbWidth, ridge = DEFAULTS.linUcbRidge, context = [] } = policy;
      return { kind, algorithm, gamma, floor, width, ridge, context };
    }
    case 'epsilon-greedy':
      return { kind, algorithm, gamma, stepBp, epsilon: policy.epsilon ?? DEFAULTS.epsilon };
    case 'discounted-thompson':
    case 'ucb':
      return { kind, algorithm, gamma, stepBp, floor };
  }
}

/** Exact to a billionth, so that 33.34 % is 3,334 and 0.001 % is no whole number. */
const basisPoints = (percent: number): number => Math.round(percent * 1e11) / 1e9;

/** NaN for what is no duration; the check says so. */
const milliseconds = (text: string): number => Math.round((parseDuration(text) ?? Number.NaN) * 1000);

/** Where the manifest has another name for it, or writes it in percent. */
const MEMBERS: Readonly<Record<string, string>> = { minimumEffect: 'minEffect' };
const FOREIGN: Readonly<Record<BanditAlgorithm | 'ab', readonly (keyof PolicyDocument)[]>> = {
  ab: ['algorithm', 'gamma', 'floor', 'epsilon', 'step', 'width', 'ridge', 'context'],
  'discounted-thompson': ['epsilon', 'width', 'ridge', 'context'],
  ucb: ['epsilon', 'width', 'ridge', 'context'],
  'epsilon-greedy': ['floor', 'width', 'ridge', 'context'],
  linucb: ['epsilon', 'step'],
};

/** @param features columns of the model that the caller or the gateway gives */
export function checkExperiments(
  documents: readonly ExperimentDocument[],
  features: readonly string[],
  report: Report,
): void {
  unique(documents, '/spec/experiments', report);
  documents.forEach((document, index) => {
    const at = pointer('spec', 'experiments', index);
    const durations = { ...EXPERIMENT_DURATIONS, ...document };
    const sound = (['maxDuration', 'rewardWindow', 'lease'] as const).map(
      (member) => checkDuration(`${at}/${member}`, durations[member], report, { min: 1 }) !== undefined,
    );
    checkMembers(document, at, features, report);
    if (sound.includes(false)) return;
    for (const { path, reason } of checkPlan(parseExperiment(document))) {
      const [, first = '', ...rest] = path.split('/');
      report([at, MEMBERS[first] ?? first, ...rest].join('/'), reason);
    }
  });
}

function checkMembers(
  { policy = { kind: 'ab' } }: ExperimentDocument,
  at: string,
  features: readonly string[],
  report: Report,
): void {
  const algorithm = policy.kind === 'ab' ? 'ab' : (policy.algorithm ?? DEFAULTS.algorithm);
  for (const member of FOREIGN[algorithm]) {
    if (policy[member] !== undefined) report(`${at}/policy/${member}`, `means nothing to ${algorithm}`);
  }
  if (algorithm !== 'linucb') return;
  policy.context?.forEach((name, index) => {
    if (!features.includes(name))
      report(`${at}/policy/context/${index}`, `${name} is no feature of this model`);
  });
}

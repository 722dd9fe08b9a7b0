/**
 * Rules of a manifest that no JSON schema can say. All problems are collected, so that a wrong manifest is mended in
 * one go; sections whose shape is wrong already are left alone, because what they mean is unknown.
 */
import type { Problem } from '../errors.ts';
import { checkOnlineFeatures, checkServing } from './check-serving.ts';
import { checkExperiments } from './experiment-section.ts';
import { isWithin, pointer } from './json-pointer.ts';
import type {
  GuardrailDocument,
  ManifestDocument,
  RolloutDocument,
  StepDocument,
} from './manifest-document.ts';
import { DEFAULTS } from './manifest-document.ts';
import { checkDuration, unique } from './report-problem.ts';
import type { Report } from './report-problem.ts';

export interface ManifestContext {
  readonly trainers: readonly string[];
  /** What is wrong with a CEL expression; undefined when it compiles. */
  readonly gateProblem: (expression: string) => string | undefined;
  readonly isAbsolutePath: (path: string) => boolean;
}

/** Columns that the data query gives besides features and target. */
const RESERVED_COLUMNS = ['event_time', 'row_number'];
/** Shorter and a pause of the garbage collector or of the database would end a healthy canary. */
const MIN_LEASE_SECONDS = 5;
/** Longer and a dead control plane would leave users on an unproven version for too long. */
const MAX_LEASE_SECONDS = 300;
const INSTANT = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})?)?$/;

/**
 * @param shape what the JSON schema found; nothing is read at or below those paths.
 * @returns further problems, in document order.
 */
export function checkManifest(
  document: ManifestDocument,
  context: ManifestContext,
  shape: readonly Problem[] = [],
): readonly Problem[] {
  const problems: Problem[] = [];
  const report: Report = (path, reason) => void problems.push({ path, reason });
  const section = (path: string, check: () => void): void => {
    const unknown = shape.some((problem) => isWithin(problem.path, path) || isWithin(path, problem.path));
    if (!unknown) check();
  };
  section('/spec/features', () => checkFeatures(document, report));
  // The target can only be compared with features that are known.
  if (!shape.some(({ path }) => isWithin(path, '/spec/features'))) {
    section('/spec/target', () => checkTarget(document, report));
  }
  section('/spec/data', () => checkData(document, context, report));
  section('/spec/trainer', () => checkTrainer(document, context, report));
  section('/spec/gates', () => checkGates(document, context, report));
  section('/spec/guardrails', () => checkGuardrails(document.spec.guardrails, report));
  section('/spec/approval', () => {
    const { timeout, valid } = document.spec.approval ?? {};
    checkDuration('/spec/approval/timeout', timeout ?? DEFAULTS.approvalTimeout, report, { min: 1 });
    checkDuration('/spec/approval/valid', valid ?? DEFAULTS.approvalValid, report, { min: 1 });
  });
  section('/spec/rollout', () => checkRollout(document.spec.rollout, report));
  section('/spec/serving', () => section('/spec/features', () => checkServing(document, report)));
  section('/spec/featureViews', () => section('/spec/features', () => checkOnlineFeatures(document, report)));
  section('/spec/experiments', () =>
    section('/spec/features', () =>
      checkExperiments(
        document.spec.experiments ?? [],
        document.spec.features.map(({ name }) => name),
        report,
      ),
    ),
  );
  section('/spec/rollout/shadow', () =>
    section('/spec/guardrails', () => checkShadowIsGuarded(document, report)),
  );
  return problems;
}

function checkFeatures({ spec }: ManifestDocument, report: Report): void {
  unique(spec.features, '/spec/features', report);
  spec.features.forEach(({ name, min, max }, index) => {
    if (RESERVED_COLUMNS.includes(name)) {
      report(
        pointer('spec', 'features', index, 'name'),
        `${name} is a column of every data set; choose another name`,
      );
    }
    if (min !== undefined && max !== undefined && min >= max) {
      report(pointer('spec', 'features', index, 'max'), `must be above min (${min})`);
    }
  });
}

function checkTarget({ spec }: ManifestDocument, report: Report): void {
  if (spec.features.some(({ name }) => name === spec.target)) {
    report(
      '/spec/target',
      `${spec.target} is also a feature: the model would be given what it has to predict`,
    );
  }
  if (RESERVED_COLUMNS.includes(spec.target)) {
    report('/spec/target', `${spec.target} is a column of every data set; choose another name`);
  }
}

function checkData({ spec }: ManifestDocument, { isAbsolutePath }: ManifestContext, report: Report): void {
  const { file, query, queryFile, trainBefore } = spec.data;
  if (query === undefined && queryFile === undefined)
    report('/spec/data/query', 'query or queryFile is required');
  if (query !== undefined && queryFile !== undefined) {
    report('/spec/data/queryFile', 'give query or queryFile, not both');
  } else if (queryFile !== undefined) {
    report('/spec/data/queryFile', 'is read by the client; send its text as query (`slipway apply` does)');
  }
  if (query !== undefined && query.trim() === '') report('/spec/data/query', 'is empty');
  if (!isAbsolutePath(file)) {
    report(
      '/spec/data/file',
      'must be an absolute path here (`slipway apply` resolves it beside the manifest)',
    );
  }
  if (trainBefore !== undefined && !isInstant(trainBefore)) {
    report(
      '/spec/data/trainBefore',
      'must be a date or an instant such as 1997-05-07 or 1997-05-07T00:00:00Z',
    );
  }
}

function checkTrainer({ spec }: ManifestDocument, { trainers }: ManifestContext, report: Report): void {
  if (!trainers.includes(spec.trainer.name)) {
    report('/spec/trainer/name', `there is no trainer ${spec.trainer.name}; known: ${trainers.join(', ')}`);
  }
}

function checkGates({ spec }: ManifestDocument, { gateProblem }: ManifestContext, report: Report): void {
  unique(spec.gates, '/spec/gates', report);
  spec.gates.forEach(({ expression }, index) => {
    const problem = gateProblem(expression);
    if (problem !== undefined) report(pointer('spec', 'gates', index, 'expression'), problem);
  });
  if (spec.gates.every(({ severity }) => severity === 'warn')) {
    report('/spec/gates', 'at least one gate must deny: gates that only warn let every candidate pass');
  }
}

function checkGuardrails(guardrails: readonly GuardrailDocument[], report: Report): void {
  unique(guardrails, '/spec/guardrails', report);
  guardrails.forEach(({ tolerance, margin }, index) => {
    // Between them a rate would be an alarm and proof of safety at once.
    if (margin <= 1 + tolerance) {
      report(
        pointer('spec', 'guardrails', index, 'margin'),
        `must be above 1 + tolerance (${1 + tolerance}): a rate that is alarmed must not also count as safe`,
      );
    }
  });
}

function checkRollout(rollout: RolloutDocument, report: Report): void {
  rollout.steps.forEach((step, index) => {
    const at = pointer('spec', 'rollout', 'steps', index);
    checkStepDurations(at, step, report);
    checkHundredths(`${at}/weight`, step.weight, report);
    const before = rollout.steps[index - 1];
    if (before !== undefined && step.weight <= before.weight) {
      report(`${at}/weight`, `must be above the step before (${before.weight})`);
    }
  });
  if (rollout.shadow !== undefined) {
    checkStepDurations('/spec/rollout/shadow', rollout.shadow, report);
    checkHundredths('/spec/rollout/shadow/mirror', rollout.shadow.mirror, report);
  }
  const { askTimeout, lease, guardFor } = { ...DEFAULTS, ...rollout };
  checkDuration('/spec/rollout/askTimeout', askTimeout, report, { min: 1 });
  checkDuration('/spec/rollout/lease', lease, report, { min: MIN_LEASE_SECONDS, max: MAX_LEASE_SECONDS });
  checkDuration('/spec/rollout/guardFor', guardFor, report, { min: 0 });
}

function checkShadowIsGuarded({ spec }: ManifestDocument, report: Report): void {
  if (spec.rollout.shadow === undefined) return;
  if (!spec.guardrails.some(({ name }) => name === 'diverged')) {
    report(
      '/spec/rollout/shadow',
      'needs the guardrail diverged: without it, a shadow step compares nothing',
    );
  }
}

function checkStepDurations(
  at: string,
  { minDuration, maxDuration }: Pick<StepDocument, 'minDuration' | 'maxDuration'>,
  report: Report,
): void {
  const min = checkDuration(`${at}/minDuration`, minDuration, report, { min: 0 });
  const max = checkDuration(`${at}/maxDuration`, maxDuration, report, { min: 1 });
  if (min !== undefined && max !== undefined && min > max) {
    report(`${at}/minDuration`, `must not be above maxDuration (${maxDuration})`);
  }
}

/** Traffic is divided into 10,000 buckets. */
function checkHundredths(path: string, percent: number, report: Report): void {
  if (Math.abs(percent * 100 - Math.round(percent * 100)) > 1e-6 || Math.round(percent * 100) < 1) {
    report(path, 'must be a percentage in hundredths at the finest, such as 0.25 or 5');
  }
}

/** Whether the text is a real day of the calendar, and a real time if it has one. The core has no Date. */
function isInstant(text: string): boolean {
  if (!INSTANT.test(text)) return false;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = (text.match(/\d+/g) ?? []).map(
    Number,
  );
  const leap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  const days = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1] ?? 0;
  return day >= 1 && day <= days && hour <= 23 && minute <= 59 && (!text.includes('T') || second <= 59);
}

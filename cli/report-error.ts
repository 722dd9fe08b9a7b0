/** An error as a person wants it: what happened, then what to do. */
import type { ErrorCode, Problem } from '../domain/errors.ts';
import { SlipwayError } from '../domain/errors.ts';

/** What to do, where the message alone does not say it. */
const ADVICE: Partial<Record<ErrorCode, string>> = {
  STACK_NOT_RUNNING: 'Start one with `slipway up`, or set SLIPWAY_HOME to the home of the one that runs.',
  STACK_ALREADY_RUNNING:
    'Use the running stack (`slipway status`), or stop it first with Ctrl-C in its terminal.',
  MODEL_NOT_FOUND: '`slipway status` lists the models; `slipway apply -f <path>` declares one.',
  RELEASE_NOT_FOUND:
    '`slipway status <model>` shows the release on its way; a release id looks like elec2/4.',
  VERSION_NOT_FOUND: '`slipway versions <model>` lists the versions.',
  INVALID_MANIFEST:
    'Correct what is listed and apply it again; docs/reference/manifest.md describes each member.',
  FOUR_EYES: 'Let someone else decide: add `--as approver` or `--as second-approver`.',
  STALE_REVIEW: '`slipway status <model>` shows what is under review now.',
  WRONG_PHASE: '`slipway status <model>` shows where the release stands.',
  UNAUTHENTICATED: 'Take a token of this stack: `--as` with one of the names in its token file.',
  FORBIDDEN: 'Act as someone who may: add `--as operator`.',
  UNAVAILABLE: '`slipway doctor` looks at the parts; try again in a moment.',
  DEPENDENCY_MISSING: '`slipway doctor` lists what is missing.',
  INTERNAL: "Look into the logs under the stack's home; the API's log has the detail under this request.",
};

export function errorLines(error: unknown): readonly string[] {
  if (!(error instanceof SlipwayError)) {
    const message = error instanceof Error ? error.message : String(error);
    return [
      `error: something unexpected went wrong: ${message}`,
      'Please report it, with the command that you ran.',
    ];
  }
  const advice = ADVICE[error.code] ?? `docs/reference/errors.md says more about ${error.code}.`;
  return [`error: ${error.message} (${error.code})`, ...error.problems.map(problemLine), advice];
}

/** `examples/elec2/model.yaml:12 /spec/target: is required` */
function problemLine({ file, path, reason }: Problem): string {
  return `  ${[file, path].filter((part) => part !== undefined && part !== '').join(' ')}: ${reason}`.replace(
    /^ {2}: /,
    '  ',
  );
}

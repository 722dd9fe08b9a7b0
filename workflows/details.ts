/** What a person sees of a run in the Temporal UI (markdown for `setCurrentDetails`). */
import type { ReleaseView, RolloutStepView, StepResult } from './messages.ts';

const short = (digest: string): string => digest.replace('sha256:', '').slice(0, 12);

export function describeRelease(view: ReleaseView): string {
  const lines = [`### ${view.releaseId}: ${view.outcome ?? view.phase}`];
  if (view.candidate !== null)
    lines.push(
      `Candidate \`${short(view.candidate)}\`${view.bootstrap ? ' (first release: no champion to compare with)' : ''}`,
    );
  if (view.phase === 'approve') lines.push(`${view.decisions.length} of ${view.approvalsNeeded} approvals`);
  if (view.step !== null)
    lines.push(`${view.step.kind} at ${view.step.weight} %${view.paused ? ', paused' : ''}`);
  if (view.waitingFor !== null) lines.push(`**Waits for ${view.waitingFor}**`);
  lines.push(...view.steps.map(describeStep));
  if (view.reason !== null) lines.push('', view.reason);
  return lines.join('\n\n');
}

export function describeRollout(
  input: { readonly releaseId: string; readonly endpoint: string; readonly candidate: string },
  step: RolloutStepView,
  finished: readonly StepResult[],
  paused: boolean,
): string {
  return [
    `### ${input.releaseId}: ${step.kind} at ${step.weight} %${paused ? ' (paused)' : ''}`,
    `Candidate \`${short(input.candidate)}\` on **${input.endpoint}**, route generation ${step.generation}`,
    ...finished.map(describeStep),
  ].join('\n\n');
}

function describeStep(step: StepResult): string {
  return `- ${step.kind} ${step.weight} %: **${step.verdict}** – ${step.reason}`;
}

/** What the chapters are made of: start a release, approve it, follow it to its end. */
import type { ApiClient, LineageChain } from '../../api/client.ts';
import { SlipwayError } from '../../domain/errors.ts';
import type { ReleaseEvent, ReleaseOutcome, ReleaseParameters } from '../../domain/release/release.ts';
import type { Verdict } from '../../domain/rollout/verdict.ts';
import type { StoryContext } from './story.ts';

export interface FinishedStep {
  readonly kind: string;
  readonly weight: number;
  readonly verdict: Verdict;
  readonly reason: string;
}

export interface FinishedRelease {
  readonly id: string;
  readonly outcome: ReleaseOutcome;
  readonly reason: string;
  readonly candidate: string | null;
  readonly seconds: number;
  readonly steps: readonly FinishedStep[];
  /** When the last route change was acknowledged by every gateway, unix milliseconds. */
  readonly endedAtMs: number;
}

export interface StartedRelease {
  readonly id: string;
  readonly startedMs: number;
  /** Lines of the timeline that were told already. */
  told: number;
}

/** Longer than any release of the story, training and proof included, on a busy machine. */
const PATIENCE_MS = 180_000;
const POLL_MS = 250;
/** A person is told at least this often that something is still going on. */
const SILENCE_MS = 2000;

export function expect(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`this did not happen: ${what}`);
}

export async function startRelease(
  { engineer, model, say }: StoryContext,
  options: { readonly parameters: ReleaseParameters; readonly skipShadow?: boolean },
): Promise<StartedRelease> {
  const { release } = await engineer.createRelease({ model: model.name, ...options });
  const chosen = Object.entries(release.parameters).map(([name, value]) => `${name}=${String(value)}`);
  say(
    `release ${release.id} submitted${chosen.length === 0 ? '' : ` with ${chosen.join(' ')}`}${release.skipShadow ? ', shadow switched off' : ''}`,
  );
  return { id: release.id, startedMs: Date.now(), told: 0 };
}

/** Waits for the review, and lets `count` people approve exactly the digest under review. */
export async function approve(context: StoryContext, release: StartedRelease, count: number): Promise<void> {
  const { engineer, approvers, say } = context;
  const digest = await wait(context, release, async () => {
    const { release: now, live } = await engineer.release(release.id);
    if (now.outcome !== null)
      throw new Error(
        `this did not happen: ${release.id} reaches its review (${now.outcome}: ${now.reason})`,
      );
    return live?.phase === 'approve' && live.waitingFor === 'approval' ? live.candidate : null;
  });
  const own = await refusalOf(engineer.decide(release.id, 'approve', { digest }));
  expect(own === 'FOUR_EYES', `the submitter cannot approve the own release (${own ?? 'accepted'})`);
  for (const approver of approvers.slice(0, count)) {
    const { approved, needed } = await approver.decide(release.id, 'approve', {
      digest,
      comment: 'looked at the evidence',
    });
    say(`approved ${digest.slice(0, 19)}… (${approved} of ${needed})`);
  }
}

export async function finish(context: StoryContext, release: StartedRelease): Promise<FinishedRelease> {
  const { engineer, facts } = context;
  const ended = await wait(context, release, async () => {
    const detail = await engineer.release(release.id);
    return detail.release.outcome === null ? null : detail;
  });
  const { timeline } = ended;
  const { outcome, reason, candidate } = ended.release;
  const route = timeline.find(({ detail }) => 'routeMs' in detail);
  const finished: FinishedRelease = {
    id: release.id,
    outcome: outcome!,
    reason: reason ?? '',
    candidate,
    seconds: (Date.now() - release.startedMs) / 1000,
    steps: timeline.flatMap(stepOf),
    endedAtMs: route?.atMs ?? ended.release.updatedAtMs,
  };
  facts.releases.push(finished);
  return finished;
}

/** The lineage as a chain, from the raw file to what serves. */
export function follow({ digest, lineage, release, decisions, served }: LineageChain): readonly string[] {
  const endpoints = [...new Set(served.map(({ endpoint }) => endpoint))];
  return [
    `data      ${lineage.data.source}`,
    `snapshot  ${lineage.data.snapshot} (${lineage.data.rows} rows)`,
    `trainer   ${lineage.trainer}, code ${lineage.code.slice(0, 19)}…, environment ${lineage.environment.slice(0, 19)}…, seed ${lineage.seed}`,
    `version   ${digest}`,
    `release   ${release?.id ?? 'unknown'}, approved by ${decisions.map(({ approver }) => approver).join(', ')}`,
    `served    ${endpoints.join(', ') || 'never'}`,
  ];
}

async function refusalOf(call: ReturnType<ApiClient['decide']>): Promise<string | null> {
  try {
    await call;
    return null;
  } catch (error) {
    if (error instanceof SlipwayError) return error.code;
    throw error;
  }
}

/** Asks until there is an answer; tells the timeline meanwhile. */
async function wait<T>(
  context: StoryContext,
  release: StartedRelease,
  ask: () => Promise<T | null>,
): Promise<T> {
  const started = Date.now();
  let spoke = started;
  for (;;) {
    const answer = await ask();
    if (await tellTimeline(context, release)) spoke = Date.now();
    if (answer !== null) return answer;
    if (Date.now() - started > PATIENCE_MS)
      throw new Error(`this did not happen: ${release.id} goes on within ${PATIENCE_MS / 1000} s`);
    if (Date.now() - spoke > SILENCE_MS) {
      const { live } = await context.engineer.release(release.id);
      context.say(
        `… ${live?.step ? `${live.step.kind} at ${live.step.weight} %` : (live?.phase ?? 'waiting')}, ${((Date.now() - started) / 1000).toFixed(0)} s`,
      );
      spoke = Date.now();
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function tellTimeline({ engineer, say }: StoryContext, release: StartedRelease): Promise<boolean> {
  const { timeline } = await engineer.release(release.id);
  const fresh = timeline.slice(release.told);
  for (const { phase, message } of fresh) say(`${phase.padEnd(8)} ${message}`);
  release.told = timeline.length;
  return fresh.length > 0;
}

function stepOf({ detail }: ReleaseEvent): readonly FinishedStep[] {
  const { kind, weight, verdict, reason } = detail;
  if (typeof verdict !== 'string') return [];
  return [
    { kind: String(kind), weight: Number(weight), verdict: verdict as Verdict, reason: String(reason) },
  ];
}

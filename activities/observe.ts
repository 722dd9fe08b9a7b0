/**
 * `observeStep`: one long activity per rollout step. It watches the evidence that gateways flush each second and the
 * trips that arrive at once, renews the lease of the candidate's traffic, and returns the step's verdict. So the
 * workflow's history stays small and the reaction does not depend on timers.
 *
 * The evidence is additive and stored, and the decision is a pure function of its sums: an activity that is started
 * again after a crash reads the same rows from its first watermark and goes on with the same e-values.
 */
import type { GuardrailSpec } from '../domain/manifest/model-manifest.ts';
import { addCounts, NO_COUNTS } from '../domain/rollout/evidence.ts';
import type { ArmCounts, Segment } from '../domain/rollout/evidence.ts';
import { guardrailsFor, readings } from '../domain/rollout/guardrail-tests.ts';
import { judgeStep } from '../domain/rollout/judge.ts';
import type { GuardrailReading, StepVerdict } from '../domain/rollout/verdict.ts';
import type { Digest } from '../domain/routing/route.ts';
import type { Clock } from '../platform/clock.ts';
import type { EvidenceStore, RouteStore, Watermark } from './ports.ts';
import type { ActivityPulse } from './traffic.ts';

export interface ObserveInput {
  readonly endpoint: string;
  readonly generation: number;
  readonly epoch: number;
  /** Where this rollout began: a trip since then counts, whichever step it happened in. */
  readonly firstGeneration: number;
  readonly candidate: Digest;
  readonly kind: 'shadow' | 'canary';
  /** Probability (0–1) that a request which reached either arm reached the candidate. */
  readonly share: number;
  readonly guardrails: readonly GuardrailSpec[];
  readonly minSamples: number;
  readonly minDurationMs: number;
  readonly maxDurationMs: number;
  /** Family-wise false-alarm probability that this step may spend. */
  readonly alphaRegression: number;
  readonly leaseMs: number;
  /** When the step began, unix milliseconds: a later attempt goes on with the same clock. */
  readonly startedAtMs: number;
  /** While paused: watch and keep the lease, but never advance and never run out of time. */
  readonly hold: boolean;
  /** The release's run; when it is no longer running, the lease is not renewed. */
  readonly owner: { readonly workflowId: string; readonly runId: string };
}

/** Asks the control plane itself: a cached answer would keep a lease alive that nobody stands behind. */
export interface OwnerLiveness {
  isRunning(workflowId: string, runId: string): Promise<boolean>;
}

export interface ObserveDependencies {
  readonly routes: RouteStore;
  readonly evidence: EvidenceStore;
  readonly owners: OwnerLiveness;
  readonly clock: Clock;
  readonly pulse: () => ActivityPulse;
  /** Each look: what the guardrails read, and the verdict when there is one. */
  readonly onLook?: (
    input: ObserveInput,
    seen: readonly GuardrailReading[],
    verdict: StepVerdict | null,
  ) => void;
}

/** Gateways flush each second; looking at that pace costs nothing statistically, because e-processes are anytime-valid. */
const LOOK_MS = 1000;

export function createObserveActivities({
  routes,
  evidence,
  owners,
  clock,
  pulse,
  onLook,
}: ObserveDependencies) {
  return {
    async observeStep(input: ObserveInput): Promise<StepVerdict> {
      const { signal, beat } = pulse();
      let counts = { champion: NO_COUNTS, candidate: NO_COUNTS };
      let watermark: Watermark = {};
      let nextRenewal = 0;
      for (;;) {
        const { endpoint, generation } = input;
        const [windows, labels, trip] = await Promise.all([
          evidence.windows({ endpoint, generation, after: watermark }),
          evidence.labels({ endpoint, generation }),
          evidence.trip({ endpoint, version: input.candidate, since: input.firstGeneration }),
        ]);
        watermark = windows.watermark;
        counts = {
          champion: addCounts(counts.champion, windows.champion),
          candidate: addCounts(counts.candidate, windows.candidate),
        };
        const segment: Segment = {
          share: shareOf(input, counts),
          champion: withLabels(counts.champion, labels.champion),
          candidate: withLabels(counts.candidate, labels.candidate),
        };
        // The two clocks are of different machines.
        const elapsedMs = Math.max(0, clock.now() - input.startedAtMs);
        const verdict = judgeStep({
          kind: input.kind,
          segments: [segment],
          guardrails: input.guardrails,
          minSamples: input.minSamples,
          minDurationMs: input.minDurationMs,
          maxDurationMs: input.maxDurationMs,
          elapsedMs,
          // Before the first window of this generation there is nothing to be silent yet.
          silentMs: Math.min(windows.silentMs ?? elapsedMs, elapsedMs),
          tripped: trip?.reason ?? null,
          alphaRegression: input.alphaRegression,
        });
        const seen = readings([segment], guardrailsFor(input.kind, input.guardrails));
        onLook?.(input, seen, verdict);
        beat({ elapsedMs, readings: seen });
        if (
          verdict !== null &&
          !(input.hold && (verdict.verdict === 'PROVEN_SAFE' || verdict.verdict === 'INCONCLUSIVE'))
        ) {
          return verdict;
        }
        // Only after a look: traffic that nobody can judge must not be prolonged.
        if (clock.monotonic() >= nextRenewal) {
          const lost = await renew(input);
          if (lost !== null) return { verdict: 'TELEMETRY_LOST', reason: lost, readings: [] };
          nextRenewal = clock.monotonic() + input.leaseMs / 4;
        }
        await evidence.wait(endpoint, LOOK_MS, signal);
        signal.throwIfAborted();
      }
    },
  };

  /** @returns why the lease is lost for good, or null. An owner that cannot be asked now is asked again at the next look. */
  async function renew({ owner, endpoint, generation, epoch }: ObserveInput): Promise<string | null> {
    if (!(await owners.isRunning(owner.workflowId, owner.runId))) return null;
    const renewed = await routes.renewLease({ endpoint, generation, epoch });
    return renewed
      ? null
      : 'the lease of the candidate lapsed or its route was superseded; all traffic is back with the champion';
  }
}

export type ObserveActivities = ReturnType<typeof createObserveActivities>;

/**
 * A canary's share is what the route says, and the judge looks whether it got it. Copies for a shadow are dropped first
 * when a gateway is short of time, which says nothing about either version: its share is what it received. Were the
 * route's taken, a shadow that lost half of its copies would seem to fail half as often.
 */
function shareOf(
  { kind, share }: ObserveInput,
  { champion, candidate }: { readonly champion: ArmCounts; readonly candidate: ArmCounts },
): number {
  if (kind === 'canary' || candidate.requests === 0) return share;
  return candidate.requests / (champion.requests + candidate.requests);
}

function withLabels(
  counts: ArmCounts,
  { labelled, wrong }: Pick<ArmCounts, 'labelled' | 'wrong'>,
): ArmCounts {
  return { ...counts, labelled, wrong };
}

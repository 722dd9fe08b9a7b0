/**
 * `observeExperiment`: one long activity. Each look counts new rewards, moves the policy on and renews the lease. All of
 * its state is in the registry, so an attempt that is started again after a crash goes on from the newest snapshot.
 */
import { readExperiment } from '../domain/experiments/index.ts';
import type { ExperimentOutcome, ExperimentPlan, ExperimentReading } from '../domain/experiments/index.ts';
import type { Clock } from '../platform/clock.ts';
import type { ExperimentName, ExperimentStore } from './experiment-ports.ts';
import type { OwnerLiveness } from './observe.ts';
import type { RouteStore } from './ports.ts';
import type { ActivityPulse } from './traffic.ts';

export interface ObserveExperimentInput extends ExperimentName {
  readonly plan: ExperimentPlan;
  readonly epoch: number;
  readonly generation: number;
  readonly startedAtMs: number;
  /** The workflow's own run; when it is no longer running, the lease is not renewed. */
  readonly owner: { readonly workflowId: string; readonly runId: string };
}

export interface ExperimentEnd {
  readonly outcome: ExperimentOutcome;
  readonly reason: string;
  readonly winner: string | null;
}

export interface ObserveExperimentDependencies {
  readonly experiments: ExperimentStore;
  readonly routes: RouteStore;
  readonly owners: OwnerLiveness;
  readonly clock: Clock;
  readonly pulse: () => ActivityPulse;
  readonly lookMs?: number;
}

const LOOK_MS = 5000;
const BEAT_MS = 1000;

export function createObserveExperimentActivities({
  experiments,
  routes,
  owners,
  clock,
  pulse,
  lookMs = LOOK_MS,
}: ObserveExperimentDependencies) {
  return {
    async observeExperiment(input: ObserveExperimentInput): Promise<ExperimentEnd> {
      const { signal, beat } = pulse();
      let nextRenewal = 0;
      for (;;) {
        const lost = await lostRoute(input);
        if (lost !== null) return { outcome: 'interrupted', reason: lost, winner: null };
        const reading = await look(input, beat);
        if (reading.outcome !== null) {
          return { outcome: reading.outcome, reason: reading.reason, winner: reading.winner };
        }
        const tripped = await tripReason(input);
        if (tripped !== null) return { outcome: 'invalid', reason: tripped, winner: null };
        // Only after a look: an experiment that nobody counts must not be prolonged.
        if (
          clock.monotonic() >= nextRenewal &&
          (await owners.isRunning(input.owner.workflowId, input.owner.runId))
        ) {
          if (!(await routes.renewLease(input))) {
            const reason = 'its lease lapsed or its route was superseded; the champion answers everything';
            return { outcome: 'interrupted', reason, winner: null };
          }
          nextRenewal = clock.monotonic() + input.plan.leaseMs / 4;
        }
        await pause(signal, beat);
      }
    },
  };

  async function look(
    { endpoint, name, plan, startedAtMs }: ObserveExperimentInput,
    beat: (details?: unknown) => void,
  ): Promise<ExperimentReading> {
    const snapshot = await experiments.advance({ endpoint, name });
    const reading = readExperiment(plan, snapshot, Math.max(0, clock.now() - startedAtMs));
    beat({ version: snapshot.version, shares: snapshot.sharesBp });
    return reading;
  }

  async function lostRoute({ endpoint, name, epoch }: ObserveExperimentInput): Promise<string | null> {
    const route = await routes.read(endpoint);
    if (route?.experiment?.name === name && route.epoch === epoch) return null;
    return 'a rollout or a rollback has taken the endpoint';
  }

  async function tripReason({ endpoint, generation }: ObserveExperimentInput): Promise<string | null> {
    const trip = await experiments.trip({ endpoint, generation });
    return trip === null ? null : `gateway ${trip.gatewayId} took ${trip.version} out: ${trip.reason}`;
  }

  /** Beats meanwhile, so that a cancellation is heard soon. */
  async function pause(signal: AbortSignal, beat: () => void): Promise<void> {
    for (let left = lookMs; left > 0; left -= BEAT_MS) {
      await new Promise((resolve) => setTimeout(resolve, Math.min(left, BEAT_MS)));
      signal.throwIfAborted();
      beat();
    }
  }
}

export type ObserveExperimentActivities = ReturnType<typeof createObserveExperimentActivities>;

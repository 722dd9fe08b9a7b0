/** Plain objects that obey the ports, for activities whose logic is the thing under test; the adapters have their own. */
import type { EvidenceStore, RouteStore } from '../../activities/ports.ts';
import type { ActivityPulse } from '../../activities/traffic.ts';
import { NO_COUNTS, addCounts } from '../../domain/rollout/evidence.ts';
import type { ArmCounts } from '../../domain/rollout/evidence.ts';
import { SlipwayError } from '../../domain/errors.ts';
import { applyChange } from '../../domain/routing/route.ts';
import type { Route } from '../../domain/routing/route.ts';
import type { LiveGateway } from '../../domain/rollout/arm-window.ts';
import type { Clock } from '../../platform/clock.ts';

export interface ManualClock extends Clock {
  advance(ms: number): void;
}

export function manualClock(startMs = 1_000_000): ManualClock {
  let elapsed = 0;
  return {
    now: () => startMs + elapsed,
    monotonic: () => elapsed,
    advance: (ms) => void (elapsed += ms),
  };
}

export function pulse(signal = new AbortController().signal): () => ActivityPulse {
  return () => ({ signal, beat: () => undefined });
}

/** Windows in order; each `wait` moves the clock and lets the next one arrive. */
export function scriptedEvidence(
  clock: ManualClock,
  windows: readonly { readonly champion: Partial<ArmCounts>; readonly candidate: Partial<ArmCounts> }[],
): EvidenceStore & { tripReason: string | null } {
  let arrived = 0;
  let lastMs = clock.monotonic();
  const store: EvidenceStore & { tripReason: string | null } = {
    tripReason: null,
    windows: ({ after }) => {
      const seen = after['gateway'] ?? 0;
      const fresh = windows.slice(seen, arrived);
      const sum = (arm: 'champion' | 'candidate'): ArmCounts =>
        fresh.reduce<ArmCounts>(
          (total, window) => addCounts(total, { ...NO_COUNTS, ...window[arm] }),
          NO_COUNTS,
        );
      return Promise.resolve({
        watermark: { gateway: arrived },
        champion: sum('champion'),
        candidate: sum('candidate'),
        silentMs: clock.monotonic() - lastMs,
      });
    },
    labels: () =>
      Promise.resolve({ champion: { labelled: 0, wrong: 0 }, candidate: { labelled: 0, wrong: 0 } }),
    trip: () =>
      Promise.resolve(
        store.tripReason === null
          ? null
          : { gatewayId: 'g', endpoint: 'e', generation: 1, version: 'B', reason: store.tripReason, atMs: 0 },
      ),
    wait: () => {
      clock.advance(1000);
      if (arrived < windows.length) {
        arrived++;
        lastMs = clock.monotonic();
      }
      return Promise.resolve();
    },
  };
  return store;
}

/** A route table in memory with the same fences as the real one. */
export function memoryRoutes(
  initial: Route | null,
  gateways: readonly LiveGateway[] = [],
): RouteStore & { renewals: number; lapsed: boolean } {
  let route = initial;
  let epoch = initial?.epoch ?? 0;
  const written = new Map<string, Route>();
  const store: RouteStore & { renewals: number; lapsed: boolean } = {
    renewals: 0,
    lapsed: false,
    read: () => Promise.resolve(route),
    nextEpoch: () => Promise.resolve(++epoch),
    change: (request) => {
      const before = written.get(request.key);
      if (before !== undefined)
        return Promise.resolve({ route: before, current: before.generation === route?.generation });
      if (route !== null && request.epoch < route.epoch) throw new SlipwayError('EPOCH_FENCED', 'fenced');
      if (request.expectedGeneration !== undefined && request.expectedGeneration !== route?.generation) {
        throw new SlipwayError('GENERATION_CONFLICT', 'conflict');
      }
      route = {
        endpoint: request.endpoint,
        generation: (route?.generation ?? 0) + 1,
        epoch: request.epoch,
        ...applyChange(route, request.change),
      };
      written.set(request.key, route);
      return Promise.resolve({ route, current: true });
    },
    renewLease: () => {
      store.renewals++;
      return Promise.resolve(!store.lapsed);
    },
    formerChampions: () => Promise.resolve([]),
    liveGateways: () => Promise.resolve(gateways),
    waitForAcknowledgement: () => Promise.resolve(),
  };
  return store;
}

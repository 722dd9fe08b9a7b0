/** Counts of one arm under one route generation since the last flush: one mutable object of constant shape. */
import type { Arm, ArmWindow } from '../domain/rollout/arm-window.ts';
import type { Digest } from '../domain/routing/route.ts';
import type { Outcome } from './metrics.ts';

export interface ArmTally {
  readonly endpoint: string;
  readonly generation: number;
  readonly arm: Arm;
  readonly version: Digest;
  startMs: number;
  requests: number;
  errors: number;
  slow: number;
  invalid: number;
  diverged: number;
  pairs: number;
  latencyMicros: number;
}

/** All tallies of one endpoint: those of the route in force, and of earlier ones that still get late answers. */
export class TallyBook {
  readonly #tallies = new Map<string, { readonly tally: ArmTally; inForce: boolean; idleCuts: number }>();

  /** The arms of the route in force: they have a window at every cut, also without requests. */
  enter(arms: readonly Pick<ArmTally, 'endpoint' | 'generation' | 'arm' | 'version'>[], nowMs: number): void {
    for (const entry of this.#tallies.values()) entry.inForce = false;
    for (const arm of arms) {
      const key = `${arm.generation} ${arm.arm}`;
      const present = this.#tallies.get(key);
      if (present === undefined) {
        this.#tallies.set(key, { tally: emptyTally(arm, nowMs), inForce: true, idleCuts: 0 });
      } else {
        present.inForce = true;
      }
    }
  }

  of(generation: number, arm: Arm): ArmTally | undefined {
    return this.#tallies.get(`${generation} ${arm}`)?.tally;
  }

  /** Takes the counts since the last cut and starts anew. */
  cut(nowMs: number): ArmWindow[] {
    const windows: ArmWindow[] = [];
    for (const [key, entry] of this.#tallies) {
      const { tally, inForce } = entry;
      const silent = tally.requests === 0 && tally.pairs === 0;
      if (inForce || !silent) windows.push({ ...tally, endMs: nowMs });
      entry.idleCuts = inForce || !silent ? 0 : entry.idleCuts + 1;
      if (entry.idleCuts > CUTS_UNTIL_FORGOTTEN) this.#tallies.delete(key);
      restart(tally, nowMs);
    }
    return windows;
  }
}

/** A request that began under a former route may still end: at one cut a second, within a minute. */
const CUTS_UNTIL_FORGOTTEN = 60;

function emptyTally(
  { endpoint, generation, arm, version }: Pick<ArmTally, 'endpoint' | 'generation' | 'arm' | 'version'>,
  startMs: number,
): ArmTally {
  const counts = { requests: 0, errors: 0, slow: 0, invalid: 0, diverged: 0, pairs: 0, latencyMicros: 0 };
  return { endpoint, generation, arm, version, startMs, ...counts };
}

function restart(tally: ArmTally, nowMs: number): void {
  tally.startMs = nowMs;
  tally.requests = 0;
  tally.errors = 0;
  tally.slow = 0;
  tally.invalid = 0;
  tally.diverged = 0;
  tally.pairs = 0;
  tally.latencyMicros = 0;
}

/** Counts one answer of the arm. */
export function count(tally: ArmTally, outcome: Outcome, ms: number, latencySloMs: number): void {
  tally.requests += 1;
  if (outcome === 'error') tally.errors += 1;
  else if (outcome === 'invalid') tally.invalid += 1;
  if (ms > latencySloMs || outcome === 'expired') tally.slow += 1;
  tally.latencyMicros += Math.round(ms * 1000);
}

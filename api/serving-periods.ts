/** When a version served, from the generations of its endpoint's route. */
import type { Digest, Route } from '../domain/routing/route.ts';

/** A time in which a version was an endpoint's champion; `untilMs` is null while it still is. */
export interface ServingPeriod {
  readonly endpoint: string;
  readonly fromMs: number;
  readonly untilMs: number | null;
}

/** @param history oldest first */
export function servingPeriods(
  history: readonly { readonly after: Route; readonly atMs: number }[],
  version: Digest,
): readonly ServingPeriod[] {
  const periods: { endpoint: string; fromMs: number; untilMs: number | null }[] = [];
  let serving = false;
  for (const { after, atMs } of history) {
    const now = after.champion === version;
    if (now && !serving) periods.push({ endpoint: after.endpoint, fromMs: atMs, untilMs: null });
    const last = periods.at(-1);
    if (!now && serving && last !== undefined) last.untilMs = atMs;
    serving = now;
  }
  return periods;
}

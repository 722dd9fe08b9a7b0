/** LinUCB as requests meet it: the table of the control plane, with its columns found once instead of per request. */
import { decideLinUcb } from '../../domain/experiments/index.ts';
import type { ContextualTable } from '../../domain/experiments/index.ts';
import type { ContextualPolicy } from './serving-experiment.ts';

export function linUcbPolicy(
  { columns, table }: ContextualTable,
  features: readonly string[],
): ContextualPolicy {
  const places = columns.map((name) => features.indexOf(name));
  return {
    choose(row, rng) {
      // A column that the endpoint does not have says nothing, as does a missing value: all arms are equally likely.
      const context = places.map((place) => row[place] ?? Number.NaN);
      const { arm, propensity } = decideLinUcb(table, context, rng());
      // JSON has no NaN, and a reward without its context teaches nothing.
      return context.every(Number.isFinite)
        ? { index: arm, propensity, context }
        : { index: arm, propensity };
    },
  };
}

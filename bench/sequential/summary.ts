/** Summaries of many runs: quantiles and exact binomial intervals. */

/** The q-quantile by nearest rank; a run without a result counts as later than every other. Null: beyond the end. */
export function quantile(values: readonly (number | null)[], q: number): number | null {
  const sorted = values.map((value) => value ?? Infinity).sort((a, b) => a - b);
  const value = sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Infinity;
  return value === Infinity ? null : value;
}

/** Clopper–Pearson interval of a share of `hits` in `runs`, by bisection on the binomial tails. */
export function binomialInterval(
  hits: number,
  runs: number,
  confidence = 0.95,
): { low: number; high: number } {
  const tail = (1 - confidence) / 2;
  const low = hits === 0 ? 0 : bisect((p) => 1 - cumulative(hits - 1, runs, p) < tail);
  const high = hits === runs ? 1 : bisect((p) => cumulative(hits, runs, p) > tail);
  return { low, high };
}

/** The largest p in [0, 1] for which `below` holds, given that it holds up to one point. */
function bisect(below: (p: number) => boolean): number {
  let from = 0;
  let to = 1;
  for (let i = 0; i < 60; i += 1) {
    const middle = (from + to) / 2;
    if (below(middle)) from = middle;
    else to = middle;
  }
  return from;
}

/** P(X ≤ hits) for X ~ Binomial(runs, p). */
function cumulative(hits: number, runs: number, p: number): number {
  let log = runs * Math.log1p(-p);
  let sum = Math.exp(log);
  for (let k = 1; k <= hits; k += 1) {
    log += Math.log((runs - k + 1) / k) + Math.log(p) - Math.log1p(-p);
    sum += Math.exp(log);
  }
  return sum;
}

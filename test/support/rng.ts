/**
 * Seeded randomness for simulations: the same seed gives the same run on every machine. Speed matters, since a
 * benchmark draws some 10^8 numbers.
 */
export interface Rng {
  /** Uniform in [0, 1), 32 bits. */
  next(): number;
  /** Uniform in 0 … below − 1. */
  integer(below: number): number;
  /** True with the given probability. */
  chance(probability: number): boolean;
  poisson(mean: number): number;
  binomial(trials: number, probability: number): number;
}

export function createRng(seed: number): Rng {
  const next = sfc32(seed);
  const chance = (probability: number): boolean => next() < probability;
  const poisson = (mean: number): number => {
    if (mean <= 0) return 0;
    // A sum of Poisson counts is one: 500 a second cost 25 draws, each still by exact inversion.
    let left = mean;
    let count = 0;
    for (; left > 30; left -= 20) count += smallPoisson(20, next());
    return count + smallPoisson(left, next());
  };
  const binomial = (trials: number, probability: number): number => {
    if (probability <= 0 || trials <= 0) return 0;
    if (probability > 0.5) return trials - binomial(trials, 1 - probability);
    // Jump from success to success: the gaps are geometric, so the cost grows with the successes only.
    const logFail = Math.log1p(-probability);
    let successes = 0;
    let position = Math.floor(Math.log(1 - next()) / logFail);
    while (position < trials) {
      successes += 1;
      position += 1 + Math.floor(Math.log(1 - next()) / logFail);
    }
    return successes;
  };
  return { next, integer: (below) => Math.floor(next() * below), chance, poisson, binomial };
}

/** Inversion: walk up the distribution until it passes `uniform`. */
function smallPoisson(mean: number, uniform: number): number {
  let count = 0;
  let probability = Math.exp(-mean);
  let left = uniform - probability;
  while (left >= 0 && probability > 0) {
    count += 1;
    probability *= mean / count;
    left -= probability;
  }
  return count;
}

/** The generator sfc32 (Doty-Humphrey): 128 bits of state, passes PractRand, and needs 32-bit arithmetic only. */
function sfc32(seed: number): () => number {
  let a = seed | 0;
  let b = Math.floor(seed / 2 ** 32) | 0;
  let c = 0x9e3779b9 | 0;
  let counter = 1;
  const next = (): number => {
    const result = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + result) | 0;
    return (result >>> 0) / 2 ** 32;
  };
  // Neighbouring seeds start alike; 15 rounds set them apart.
  for (let i = 0; i < 15; i += 1) next();
  return next;
}

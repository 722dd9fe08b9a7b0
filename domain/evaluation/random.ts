/** Uniform numbers in [0, 1). Passed as an argument, so that every number can be drawn again. */
export type Random = () => number;

/** sfc32 (Doty-Humphrey, PractRand): 128 bits of state, passes PractRand and BigCrush; seeded by one integer. */
export function seededRandom(seed: number): Random {
  let a = 0;
  let b = seed | 0;
  let c = (seed / 4_294_967_296) | 0;
  let counter = 1;
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + sum) | 0;
    return (sum >>> 0) / 4_294_967_296;
  };
  // The first outputs still show the seed's structure.
  for (let i = 0; i < 12; i++) next();
  return next;
}

/** Below it a float32 has fewer than 24 bits, and fewer digits may do. */
const SMALLEST_NORMAL = 2 ** -126;

/**
 * The shortest decimal that reads back as the same float32. Printed as the double that it is widened to, 0.1 would
 * become 0.10000000149011612: longer on the wire, and it pretends to digits that the model never had.
 *
 * A correctly rounded k-digit decimal is within the float's rounding interval from 6 digits (every shorter one is
 * among them) to 9 at the latest.
 */
export function shortestFloat32(value: number): string {
  const size = Math.abs(value);
  // Scores: an integer divided by a power of ten is the double nearest to that decimal, so no text is needed to round.
  if (size >= 0.001 && size < 1) {
    for (let scale = 1e6; scale <= 1e11; scale *= 10) {
      const rounded = Math.round(value * scale) / scale;
      if (Math.fround(rounded) === value) return String(rounded);
    }
  }
  for (let digits = size < SMALLEST_NORMAL ? 1 : 6; digits < 9; digits += 1) {
    const rounded = Number(value.toPrecision(digits));
    if (Math.fround(rounded) === value) return String(rounded);
  }
  return String(Number(value.toPrecision(9)));
}

/** Rows that an endpoint's contract allows, made from its bounds alone: for warm-ups and comparisons, never as data. */
import type { FeatureSpec } from '../../domain/manifest/model-manifest.ts';

const ROWS = 64;
/** Golden ratio: its multiples modulo 1 spread evenly however many are taken. */
const STEP = (Math.sqrt(5) - 1) / 2;

/** All zeros, or the bound nearest to zero. */
export function sampleRow(features: readonly FeatureSpec[]): Float32Array {
  return Float32Array.from(features, ({ min, max }) => Math.min(Math.max(0, min ?? 0), max ?? Infinity));
}

/** Spread between the bounds; a feature without two bounds varies by 1 from where it may. */
export function sampleRows(features: readonly FeatureSpec[]): Float32Array {
  const rows = new Float32Array(ROWS * features.length);
  for (const [column, { min, max }] of features.entries()) {
    const from = min ?? Math.min(0, (max ?? 1) - 1);
    const to = max ?? from + 1;
    for (let row = 0; row < ROWS; row += 1) {
      const share = ((row + 1) * STEP * (column + 1)) % 1;
      rows[row * features.length + column] = Math.min(Math.max(from + share * (to - from), from), to);
    }
  }
  return rows;
}

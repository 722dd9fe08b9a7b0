/**
 * P(arm i has the largest mean) for independent Beta posteriors, by quadrature: the same numbers each time, where
 * sampling would add noise to a propensity that has to be exact.
 *
 * P(i best) = ∫ f_i Π_{j≠i} F_j. In log-odds z = ln(x/(1−x)) a Beta density is log-concave, close to a normal and without
 * poles at 0 and 1; its peak is at ln(a/b), its width √(1/a + 1/b). Panels end where some arm's peak ± k widths lies, so
 * that a narrow posterior beside a wide one is resolved. On each panel five Gauss–Legendre nodes; the F_j at the nodes
 * are integrals of the interpolating polynomial, so no incomplete beta function is needed.
 */
import { SlipwayError } from '../errors.ts';

export interface BetaPosterior {
  readonly a: number;
  readonly b: number;
}

const NODES = [-0.906179845938664, -0.538469310105683, 0, 0.538469310105683, 0.906179845938664] as const;
const WEIGHTS = [
  0.236926885056189, 0.478628670499366, 0.568888888888889, 0.478628670499366, 0.236926885056189,
] as const;
/** ANTIDERIVATIVES[q][p]: the integral of the p-th Lagrange polynomial from −1 to node q. */
const ANTIDERIVATIVES = NODES.map((end) =>
  NODES.map((_, index) => {
    // The polynomial has degree 4, so the rule itself integrates it exactly.
    const half = (end + 1) / 2;
    let sum = 0;
    NODES.forEach((node, at) => (sum += (WEIGHTS[at] as number) * lagrange(index, -1 + half * (node + 1))));
    return half * sum;
  }),
);

function lagrange(index: number, x: number): number {
  let product = 1;
  NODES.forEach((node, at) => {
    if (at !== index) product *= (x - node) / ((NODES[index] as number) - node);
  });
  return product;
}

/** Probabilities in the order of `posteriors`; they add up to 1. Both parameters of each must be positive. */
export function bestArmProbabilities(posteriors: readonly BetaPosterior[]): readonly number[] {
  for (const { a, b } of posteriors) {
    if (!(a > 0 && b > 0 && a < Infinity && b < Infinity)) {
      throw new SlipwayError('INVALID_PARAMETER', `Beta(${a}, ${b}) is no distribution`);
    }
  }
  if (posteriors.length === 1) return [1];
  const edges = panelEdges(posteriors);
  const masses = posteriors.map((posterior) => nodeMasses(posterior, edges));
  const best = posteriors.map(() => 0);
  // Each arm's integral up to the start of the panel.
  const before = posteriors.map(() => 0);
  const below = posteriors.map(() => 0);
  for (let panel = 0; panel + 1 < edges.length; panel += 1) {
    for (let q = 0; q < NODES.length; q += 1) {
      posteriors.forEach((_, j) => {
        const { density, total } = masses[j] as Masses;
        let inside = 0;
        for (let p = 0; p < NODES.length; p += 1) {
          inside += (ANTIDERIVATIVES[q] as number[])[p]! * (density[panel * NODES.length + p] as number);
        }
        below[j] = Math.min(1, Math.max(0, ((before[j] as number) + inside) / total));
      });
      for (let i = 0; i < best.length; i += 1) {
        const { density, total } = masses[i] as Masses;
        let product = ((WEIGHTS[q] as number) * (density[panel * NODES.length + q] as number)) / total;
        for (let j = 0; j < best.length && product > 0; j += 1) if (j !== i) product *= below[j] as number;
        best[i] = (best[i] as number) + product;
      }
    }
    masses.forEach(({ density }, j) => {
      let inside = 0;
      for (let p = 0; p < NODES.length; p += 1) {
        inside += (WEIGHTS[p] as number) * (density[panel * NODES.length + p] as number);
      }
      before[j] = (before[j] as number) + inside;
    });
  }
  const sum = best.reduce((all, one) => all + one, 0);
  return best.map((one) => one / sum);
}

interface Masses {
  /** At each node, times half the width of its panel. */
  readonly density: Float64Array;
  readonly total: number;
}

function nodeMasses({ a, b }: BetaPosterior, edges: readonly number[]): Masses {
  const density = new Float64Array((edges.length - 1) * NODES.length);
  const peak = logDensity(a, b, Math.log(a / b));
  let total = 0;
  for (let panel = 0; panel + 1 < edges.length; panel += 1) {
    const start = edges[panel] as number;
    const half = ((edges[panel + 1] as number) - start) / 2;
    for (let q = 0; q < NODES.length; q += 1) {
      const z = start + half * ((NODES[q] as number) + 1);
      const mass = half * Math.exp(logDensity(a, b, z) - peak);
      density[panel * NODES.length + q] = mass;
      total += (WEIGHTS[q] as number) * mass;
    }
  }
  return { density, total };
}

function logDensity(a: number, b: number, z: number): number {
  // ln(1 + e^z) without overflow.
  return a * z - (a + b) * (Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))));
}

/** Peak ± 8 widths in steps of one; beyond, where a small parameter leaves an exponential tail, on to e^−30. */
function panelEdges(posteriors: readonly BetaPosterior[]): readonly number[] {
  const edges: number[] = [];
  for (const { a, b } of posteriors) {
    const peak = Math.log(a / b);
    const width = Math.sqrt(1 / a + 1 / b);
    for (let step = -8; step <= 8; step += 1) edges.push(peak + step * width);
    for (let reach = 8 * width; reach < 30 / a;) edges.push(peak - (reach += 2 / a));
    for (let reach = 8 * width; reach < 30 / b;) edges.push(peak + (reach += 2 / b));
  }
  edges.sort((x, y) => x - y);
  const span = (edges.at(-1) as number) - (edges[0] as number);
  return edges.filter((edge, index) => index === 0 || edge - (edges[index - 1] as number) > 1e-12 * span);
}

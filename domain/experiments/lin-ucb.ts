/**
 * LinUCB with disjoint arms (Li et al. 2010): the reward is taken as linear in the request's context, separately for
 * each arm, and the arm with the highest upper bound θ·x + width·√(xᵀA⁻¹x) is chosen. Rewards are discounted by the age
 * of their decision, as in `bandit.ts`. A decision depends on the context, so there are no shares and no limit on
 * their moves; the propensity is exact for each request: each arm has floor/arms, the best share the rest.
 *
 * The control plane keeps the state; gateways decide from the table, which has the inverses in it.
 */
import { SlipwayError } from '../errors.ts';
import type { LinUcbPolicy } from './experiment-spec.ts';
import { invertPositiveDefinite } from './positive-definite.ts';

interface LinearArm {
  /** Σ w·x·xᵀ by rows, without the ridge. */
  readonly matrix: readonly number[];
  /** Σ w·reward·x. */
  readonly vector: readonly number[];
}

/** Plain JSON, never changed in place. */
export interface LinUcbState {
  readonly format: 1;
  readonly version: number;
  readonly clock: number;
  /** Clock of the youngest decision that has a reward. */
  readonly frontier: number;
  readonly arms: readonly LinearArm[];
}

export interface LinUcbReward {
  readonly arm: number;
  readonly reward: number;
  /** `version`'s clock at the decision. */
  readonly clock: number;
  /** The values of `policy.context` at the decision. */
  readonly context: readonly number[];
}

/** What a gateway decides from. */
export interface LinUcbTable {
  readonly version: number;
  readonly floor: number;
  readonly width: number;
  readonly arms: readonly {
    /** The intercept's coefficient comes last. */
    readonly theta: readonly number[];
    /** A⁻¹ by rows. */
    readonly inverse: readonly number[];
  }[];
}

export interface LinUcbDecision {
  readonly arm: number;
  readonly propensity: number;
}

export function startLinUcb(arms: number, policy: LinUcbPolicy): LinUcbState {
  const size = policy.context.length + 1;
  const nothing = { matrix: zeros(size * size), vector: zeros(size) };
  return { format: 1, version: 1, clock: 0, frontier: 0, arms: Array.from({ length: arms }, () => nothing) };
}

/** @throws SlipwayError `REWARD_REFUSED` for a reward that doesn't fit the state, or a context that isn't finite. */
export function updateLinUcb(
  state: LinUcbState,
  policy: LinUcbPolicy,
  rewards: readonly LinUcbReward[],
): LinUcbState {
  const frontier = rewards.reduce((latest, { clock }) => Math.max(latest, clock), state.frontier);
  const decay = policy.gamma ** (frontier - state.frontier);
  const arms = state.arms.map(({ matrix, vector }) => ({
    matrix: matrix.map((value) => value * decay),
    vector: vector.map((value) => value * decay),
  }));
  const size = policy.context.length + 1;
  for (const { arm, reward, clock, context } of rewards) {
    const own = arms[arm];
    const fits =
      own !== undefined &&
      reward >= 0 &&
      reward <= 1 &&
      clock >= 0 &&
      clock <= state.clock &&
      context.length === size - 1 &&
      context.every(Number.isFinite);
    if (!fits) {
      throw new SlipwayError(
        'REWARD_REFUSED',
        `a reward needs a known arm, a value between 0 and 1, a past decision and ${size - 1} finite context values`,
      );
    }
    const x = [...context, 1];
    const weight = policy.gamma ** (frontier - clock);
    for (let row = 0; row < size; row += 1) {
      const scaled = weight * (x[row] as number);
      own.vector[row] = (own.vector[row] as number) + scaled * reward;
      for (let column = 0; column < size; column += 1) {
        const at = row * size + column;
        own.matrix[at] = (own.matrix[at] as number) + scaled * (x[column] as number);
      }
    }
  }
  return { ...state, frontier, arms };
}

/** The next version after `decisions` more decisions. */
export function snapshotLinUcb(state: LinUcbState, decisions: number): LinUcbState {
  return { ...state, version: state.version + 1, clock: state.clock + decisions };
}

export function linUcbTable(state: LinUcbState, policy: LinUcbPolicy): LinUcbTable {
  const size = policy.context.length + 1;
  const arms = state.arms.map(({ matrix, vector }) => {
    const ridged = matrix.map((value, at) => (at % (size + 1) === 0 ? value + policy.ridge : value));
    const inverse = invertPositiveDefinite(ridged, size);
    const theta = vector.map((_, row) => {
      let sum = 0;
      for (let column = 0; column < size; column += 1) {
        sum += (inverse[row * size + column] as number) * (vector[column] as number);
      }
      return sum;
    });
    return { theta, inverse };
  });
  return { version: state.version, floor: policy.floor, width: policy.width, arms };
}

/**
 * @param uniform in [0, 1): the only chance in it. Below the floor it explores; arms with equal bounds share the rest.
 * A context that isn't finite (a missing feature) says nothing about any arm: all are equally likely then.
 */
export function decideLinUcb(
  table: LinUcbTable,
  context: ArrayLike<number>,
  uniform: number,
): LinUcbDecision {
  const { arms, floor } = table;
  const bounds = arms.map((_, arm) => upperBound(table, arm, context));
  const usable = bounds.every(Number.isFinite);
  const highest = Math.max(...bounds);
  const best = usable
    ? bounds.flatMap((bound, arm) => (bound === highest ? [arm] : []))
    : arms.map((_, arm) => arm);
  const arm =
    uniform < floor
      ? Math.min(arms.length - 1, Math.floor((uniform / floor) * arms.length))
      : (best[
          Math.min(best.length - 1, Math.floor(((uniform - floor) / (1 - floor)) * best.length))
        ] as number);
  return { arm, propensity: floor / arms.length + (best.includes(arm) ? (1 - floor) / best.length : 0) };
}

function upperBound({ arms, width }: LinUcbTable, arm: number, context: ArrayLike<number>): number {
  const { theta, inverse } = arms[arm] as LinUcbTable['arms'][number];
  const size = theta.length;
  if (context.length !== size - 1) {
    throw new SlipwayError(
      'INVALID_PARAMETER',
      `the context must have ${size - 1} values, not ${context.length}`,
    );
  }
  let mean = 0;
  let variance = 0;
  for (let row = 0; row < size; row += 1) {
    const x = row === size - 1 ? 1 : (context[row] as number);
    mean += x * (theta[row] as number);
    let product = 0;
    for (let column = 0; column < size; column += 1) {
      product +=
        (inverse[row * size + column] as number) * (column === size - 1 ? 1 : (context[column] as number));
    }
    variance += x * product;
  }
  return mean + width * Math.sqrt(Math.max(0, variance));
}

function zeros(length: number): readonly number[] {
  return Array.from({ length }, () => 0);
}

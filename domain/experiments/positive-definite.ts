/** Inverse of a symmetric positive definite matrix by Cholesky's decomposition, which needs no pivots. */
import { SlipwayError } from '../errors.ts';

/** @param matrix by rows; only the lower triangle is read. */
export function invertPositiveDefinite(matrix: readonly number[], size: number): readonly number[] {
  const lower = cholesky(matrix, size);
  const inverse = Array.from({ length: size * size }, () => 0);
  for (let column = 0; column < size; column += 1) {
    const solution = new Float64Array(size);
    for (let row = column; row < size; row += 1) {
      let rest = row === column ? 1 : 0;
      for (let k = column; k < row; k += 1)
        rest -= (lower[row * size + k] as number) * (solution[k] as number);
      solution[row] = rest / (lower[row * size + row] as number);
    }
    for (let row = size - 1; row >= 0; row -= 1) {
      let rest = solution[row] as number;
      for (let k = row + 1; k < size; k += 1)
        rest -= (lower[k * size + row] as number) * (solution[k] as number);
      solution[row] = rest / (lower[row * size + row] as number);
    }
    for (let row = 0; row < size; row += 1) inverse[row * size + column] = solution[row] as number;
  }
  return inverse;
}

function cholesky(matrix: readonly number[], size: number): Float64Array {
  const lower = new Float64Array(size * size);
  for (let row = 0; row < size; row += 1) {
    for (let column = 0; column <= row; column += 1) {
      let rest = matrix[row * size + column] as number;
      for (let k = 0; k < column; k += 1) {
        rest -= (lower[row * size + k] as number) * (lower[column * size + k] as number);
      }
      if (row !== column) {
        lower[row * size + column] = rest / (lower[column * size + column] as number);
      } else if (rest > 0) {
        lower[row * size + row] = Math.sqrt(rest);
      } else {
        throw new SlipwayError(
          'INVALID_PARAMETER',
          'the context features are too dependent or too large for this ridge; scale them or raise it',
        );
      }
    }
  }
  return lower;
}

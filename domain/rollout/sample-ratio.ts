/**
 * Sample-ratio mismatch: did each arm get the share of requests that the route promised? The ratio tests take that
 * share as given, so when it is wrong (mirror copies dropped, an arm that loses its rows, labels that reach one arm
 * only) they would see a good candidate in missing data. A mismatch therefore ends the step without a result.
 */
import { SlipwayError } from '../errors.ts';

/** Requests (or labels) of both arms while the candidate's share was `share`. */
export interface ArmTotals {
  readonly share: number;
  readonly candidate: number;
  readonly champion: number;
}

/**
 * Weight of the prior in requests: alternatives are Beta(100·w, 100·(1−w)), centred on the nominal share. At 1 % that
 * spreads over 0–3 %, at 50 % over 40–60 %: an arm that gets nothing at all is found within 45 requests at 50 % and
 * 160 at 10 %, while a healthy split costs only half a logarithm.
 */
const PRIOR_REQUESTS = 100;

/**
 * Log e-value of H0 "every request went to the candidate with probability `share`", by a Beta-binomial mixture for
 * each distinct share: B(cw + x, c(1−w) + n − x) / B(cw, c(1−w)) / (w^x (1−w)^(n−x)).
 *
 * Segments of equal share are added up before, so cutting evidence into more segments changes nothing. A share of 0
 * or 1 that is contradicted even once gives `Infinity`.
 *
 * In a shadow, one request reaches both arms: the split is more even than chance, and the test more cautious.
 */
export function sampleRatioLogE(totals: readonly ArmTotals[]): number {
  const byShare = new Map<number, { candidate: number; champion: number }>();
  for (const { share, candidate, champion } of totals) {
    if (!(share >= 0 && share <= 1)) {
      throw new SlipwayError('INVALID_PARAMETER', `a traffic share must be between 0 and 1, not ${share}`);
    }
    const sum = byShare.get(share) ?? { candidate: 0, champion: 0 };
    byShare.set(share, { candidate: sum.candidate + candidate, champion: sum.champion + champion });
  }
  let log = 0;
  for (const [share, { candidate, champion }] of byShare) {
    if (share === 0 || share === 1) {
      if ((share === 0 ? candidate : champion) > 0) return Infinity;
      continue;
    }
    const a = PRIOR_REQUESTS * share;
    const b = PRIOR_REQUESTS * (1 - share);
    log += betaOverPower(a + candidate, b + champion, share) - betaOverPower(a, b, share);
  }
  return log;
}

/**
 * log( B(a, b) / (w^a (1−w)^b) ). Computed as it stands, the two terms grow with the number of requests (1e7 at ten
 * million) while their difference stays near 1, and the digits are gone. By Stirling's formula the large parts
 * cancel on paper: what is left is the deviance of (a, b) from the share, small logarithms and a bounded remainder.
 */
function betaOverPower(a: number, b: number, share: number): number {
  const n = a + b;
  const off = a - n * share;
  const deviance = a * Math.log1p(off / (n * share)) + b * Math.log1p(-off / (n * (1 - share)));
  return (
    deviance +
    0.5 * (Math.log(2 * Math.PI) + Math.log(n) - Math.log(a) - Math.log(b)) +
    stirlingRemainder(a) +
    stirlingRemainder(b) -
    stirlingRemainder(n)
  );
}

/** ln Γ(z) − [(z − ½) ln z − z + ½ ln 2π] for z > 0, to about 1e-15: recurrence up to 12, then the Binet series. */
function stirlingRemainder(z: number): number {
  let correction = 0;
  let x = z;
  for (; x < 12; x += 1) correction += (x + 0.5) * Math.log1p(1 / x) - 1;
  const square = 1 / (x * x);
  const series =
    1 / 12 -
    square *
      (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square * (1 / 1188 - square * (691 / 360360)))));
  return correction + series / x;
}

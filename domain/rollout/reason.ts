/** The words of a verdict: counts and e-values as a person reads them, the same on every machine (no locale). */
import { comparisonOf } from './guardrail-tests.ts';
import type { GuardrailReading } from './verdict.ts';

/** `errors: 14 of 210 on the candidate, 3 of 4,020 on the champion`. */
export function arms({ guardrail, candidate, champion }: GuardrailReading): string {
  const own = `${guardrail}: ${grouped(candidate.bad)} of ${grouped(candidate.trials)}`;
  if (comparisonOf(guardrail) === 'rate') return `${own} pairs`;
  return `${own} on the candidate, ${grouped(champion.bad)} of ${grouped(champion.trials)} on the champion`;
}

/** `e = 6.1e4 ≥ 500`. */
export function evidence(logE: number, needed: number): string {
  return `e = ${eValue(logE)} ${logE >= Math.log(needed) ? '≥' : '<'} ${eValue(Math.log(needed))}`;
}

export function seconds(ms: number): string {
  return ms === Infinity ? 'ever' : `${grouped(Math.floor(ms / 1000))} s`;
}

/** 4020 → `4,020`. */
export function grouped(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+(?!\d))/g, ',');
}

/**
 * Two or three digits, cut and not rounded, so that 19.99 is never shown as `20 < 20`. From the logarithm, as
 * e-values beyond 1e308 are ordinary.
 */
export function eValue(logE: number): string {
  if (logE === Infinity) return '∞';
  if (logE === -Infinity) return '0';
  // exp(log(300)) is a hair below 300.
  const log10 = logE / Math.LN10 + 1e-12;
  if (log10 >= -2 && log10 < 4) {
    const value = 10 ** log10;
    const unit = 10 ** (Math.floor(log10) - 2);
    const cut = Math.floor(value / unit + 1e-9) * unit;
    return log10 >= 3 ? grouped(Math.floor(value + 1e-9)) : String(Number(cut.toPrecision(3)));
  }
  const exponent = Math.floor(log10);
  const mantissa = Math.floor(10 ** (log10 - exponent + 1) + 1e-9) / 10;
  return `${mantissa}e${exponent}`;
}

/** The four verdicts of a rollout step, and `CONTINUE` while none has been reached (design §5). */
import type { GuardrailName } from '../manifest/model-manifest.ts';

export type Verdict = 'REGRESSION' | 'PROVEN_SAFE' | 'INCONCLUSIVE' | 'TELEMETRY_LOST';

export interface GuardrailReading {
  readonly guardrail: GuardrailName;
  /** Natural logarithm of the two e-values. */
  readonly logRegression: number;
  readonly logSafety: number;
  readonly champion: { readonly trials: number; readonly bad: number };
  readonly candidate: { readonly trials: number; readonly bad: number };
}

export interface StepVerdict {
  readonly verdict: Verdict;
  /** One sentence for a person, e.g. `errors: 14 of 210 on the candidate, 3 of 4,020 on the champion (e = 6.1e4 ≥ 500)`. */
  readonly reason: string;
  readonly readings: readonly GuardrailReading[];
}

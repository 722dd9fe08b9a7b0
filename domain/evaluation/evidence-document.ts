/** The frozen document that gates are evaluated on and that an approval is bound to (by its digest). */
import type { Severity } from '../manifest/model-manifest.ts';
import type { Estimate } from './metrics.ts';

export interface EvidenceDocument {
  readonly candidate: {
    readonly rows: number;
    readonly accuracy: Estimate;
    readonly auc: Estimate;
    readonly logLoss: Estimate;
  };
  /** Absent when there is no champion; a gate that needs it must say what a bootstrap means. */
  readonly comparison?: {
    readonly champion: string;
    readonly rows: number;
    readonly accuracyDelta: Estimate;
    readonly aucDelta: Estimate;
  };
  readonly baseline: { readonly noChangeAccuracy: number };
  /** The trainer's own predictions against the same rows run in the real ONNX Runtime. */
  readonly golden: { readonly rows: number; readonly maxAbsError: number };
  /** One row at a time in this machine's ONNX Runtime. */
  readonly latency: { readonly p50Ms: number; readonly p99Ms: number };
  readonly size: { readonly bytes: number };
  readonly data: { readonly digest: string; readonly rows: number };
}

export interface GateResult {
  readonly name: string;
  readonly passed: boolean;
  readonly severity: Severity;
  readonly message: string;
}

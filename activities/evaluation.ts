/**
 * `validateCandidate`: makes the frozen evidence document and evaluates the manifest's gates on it. A gate that denies
 * is a result, not an error; what cannot be computed is missing from the document, and missing evidence denies.
 */
import { SlipwayError } from '../domain/errors.ts';
import type { EvidenceDocument, GateResult } from '../domain/evaluation/evidence-document.ts';
import {
  accuracy,
  auc,
  bootstrap,
  logLoss,
  noChangeAccuracy,
  pairedDifference,
  quantile,
} from '../domain/evaluation/metrics.ts';
import type { BootstrapOptions, Scored } from '../domain/evaluation/metrics.ts';
import { seededRandom } from '../domain/evaluation/random.ts';
import type { ModelManifest, Severity } from '../domain/manifest/model-manifest.ts';
import { canonicalBytes } from '../domain/registry/canonical-json.ts';
import type { FileEntry } from '../domain/registry/model-version.ts';
import type { Digest } from '../domain/routing/route.ts';
import { beating } from './beating.ts';
import type { VersionStore } from './ports.ts';
import type { ActivityPulse } from './traffic.ts';
import type {
  BlobStore,
  DatasetSnapshot,
  DatasetStore,
  GateEvaluator,
  HeldOutRows,
  ModelRuntime,
} from './training-ports.ts';

export interface ValidationInput {
  readonly releaseId: string;
  readonly manifest: ModelManifest;
  readonly dataset: DatasetSnapshot;
  readonly files: readonly FileEntry[];
  readonly champion: Digest | null;
}

export interface ValidationOutcome {
  /** Digest of the evidence document in the blob store. */
  readonly evidenceDigest: string;
  readonly passed: boolean;
  readonly gates: readonly GateResult[];
  /** One line for the timeline. */
  readonly summary: string;
}

export interface EvaluationDependencies {
  readonly datasets: DatasetStore;
  readonly versions: VersionStore;
  readonly runtime: ModelRuntime;
  readonly blobs: BlobStore;
  readonly gates: GateEvaluator;
  readonly pulse: () => ActivityPulse;
}

/** Percentile intervals at 95 % are steady from about 1,000 resamples on (Efron & Tibshirani 1993, §13.3); gates only need the bound. */
const RESAMPLES = 400;
/** Rows that are timed one by one. */
const TIMED_ROWS = 300;

export function createEvaluationActivities({
  datasets,
  versions,
  runtime,
  blobs,
  gates,
  pulse,
}: EvaluationDependencies) {
  return {
    validateCandidate(input: ValidationInput): Promise<ValidationOutcome> {
      return beating(pulse(), () => validate(input));
    },
  };

  async function validate(input: ValidationInput): Promise<ValidationOutcome> {
    const { manifest, dataset, champion } = input;
    const width = manifest.features.length;
    const model = fileNamed(input.files, 'model.onnx');
    const heldOut = await datasets.heldOut(fileNamed(input.files, 'predictions.parquet').digest, width);
    const run = await runtime.run(await blobs.read(model.digest), heldOut.values, width, TIMED_ROWS);
    const scored: Scored = { scores: run.scores, labels: heldOut.labels };
    const options = (): BootstrapOptions => ({
      random: seededRandom(manifest.trainer.seed),
      resamples: RESAMPLES,
      confidence: 0.95,
      // The cube root of n is the usual order for block bootstraps of stationary series (Künsch 1989).
      blockLength: Math.ceil(Math.cbrt(heldOut.labels.length)),
    });
    const evidence: EvidenceDocument = {
      candidate: {
        rows: heldOut.labels.length,
        accuracy: bootstrap(scored, accuracy, options()),
        auc: bootstrap(scored, auc, options()),
        logLoss: bootstrap(scored, logLoss, options()),
      },
      ...(champion === null ? {} : { comparison: await compare(input, champion, heldOut, scored, options) }),
      baseline: { noChangeAccuracy: noChangeAccuracy(heldOut.labels) },
      golden: { rows: heldOut.labels.length, maxAbsError: maxAbsDifference(run.scores, heldOut.scores) },
      latency: { p50Ms: quantile(run.singleRowMs, 0.5), p99Ms: quantile(run.singleRowMs, 0.99) },
      size: { bytes: model.size },
      data: { digest: dataset.digest, rows: dataset.rows },
    };
    const results = gates.evaluate(manifest.gates, evidence);
    const { digest: evidenceDigest } = await blobs.put(canonicalBytes(evidence));
    const denied = results.filter(({ passed, severity }) => !passed && severity === 'deny');
    return {
      evidenceDigest,
      passed: denied.length === 0,
      gates: results,
      summary: summarise(evidence, results),
    };
  }

  /** The champion on the very rows that the candidate was held out on, read from the snapshot as serving would see them. */
  async function compare(
    { manifest, dataset }: ValidationInput,
    champion: Digest,
    heldOut: HeldOutRows,
    candidate: Scored,
    options: () => BootstrapOptions,
  ): Promise<NonNullable<EvidenceDocument['comparison']>> {
    const names = manifest.features.map(({ name }) => name);
    const rows = await datasets.rows(dataset.digest, names, manifest.target, heldOut.rowNumbers);
    const version = await versions.get(champion);
    const bytes = await blobs.read(fileNamed(version.files, 'model.onnx').digest);
    const { scores } = await runtime.run(bytes, rows.values, names.length, 0);
    const former: Scored = { scores, labels: heldOut.labels };
    return {
      champion,
      rows: heldOut.labels.length,
      accuracyDelta: pairedDifference(candidate, former, accuracy, options()),
      aucDelta: pairedDifference(candidate, former, auc, options()),
    };
  }
}

export type EvaluationActivities = ReturnType<typeof createEvaluationActivities>;

function fileNamed(files: readonly FileEntry[], name: string): FileEntry {
  const file = files.find((entry) => entry.name === name);
  if (file === undefined) throw new SlipwayError('TRAINER_CONTRACT', `the trainer left no ${name}`);
  return file;
}

function maxAbsDifference(a: Float64Array, b: Float64Array): number {
  let largest = 0;
  for (let i = 0; i < a.length; i++) largest = Math.max(largest, Math.abs(a[i]! - b[i]!));
  return largest;
}

function summarise(evidence: EvidenceDocument, gates: readonly GateResult[]): string {
  const { accuracy: right, auc: area } = evidence.candidate;
  const delta =
    evidence.comparison === undefined
      ? ''
      : `, accuracy against the champion ${signed(evidence.comparison.accuracyDelta.value)}`;
  const failed = gates.filter(({ passed }) => !passed);
  const list = (what: string, severity: Severity): readonly string[] => {
    const names = failed
      .filter((gate) => gate.severity === severity)
      .map(({ name, message }) => `${name} (${message})`);
    return names.length === 0 ? [] : [`${what}: ${names.join('; ')}`];
  };
  const verdict = [
    `${gates.length - failed.length} of ${gates.length} gates passed`,
    ...list('denied', 'deny'),
    ...list('warning', 'warn'),
  ].join('; ');
  return `accuracy ${right.value.toFixed(3)} [${right.lower.toFixed(3)}, ${right.upper.toFixed(3)}], AUC ${area.value.toFixed(3)}${delta}; ${verdict}`;
}

const signed = (value: number): string => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(3)}`;

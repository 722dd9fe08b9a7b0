/**
 * The sections of a manifest that the gateway serves by: time and batches, what is logged, where the model runs, and
 * the feature views that columns come from.
 */
import type { ModelManifest } from './model-manifest.ts';

/** Where a version of the model runs: in the gateway, or on an inference server that speaks V2. */
export type BackendSpec =
  | { readonly kind: 'onnx' }
  | {
      readonly kind: 'remote';
      readonly url: string;
      /** Its name there; `{version}` becomes the first 12 hexadecimal digits of the version's digest. */
      readonly model: string;
    };

export interface ServingSpec {
  /** How long a request may take when its caller does not say. */
  readonly deadlineMs: number;
  readonly maxBatchRows: number;
  /** The only feature columns that the prediction log keeps. */
  readonly log: { readonly features: readonly string[] };
  readonly backend: BackendSpec;
}

/** What a request gets its online features from. */
export interface FeatureViewSpec {
  readonly name: string;
  /** The input of the request that holds one key for each row. */
  readonly entity: string;
  /** Age, from its event time, beyond which a value counts as missing. */
  readonly ttlMs: number;
}

export type OnMissing = 'fail' | 'default' | 'stale';

/** A column that the gateway fills in itself. */
export interface OnlineSource {
  readonly view: string;
  readonly feature: string;
  readonly onMissing: OnMissing;
  /** Always there with `default`; with `stale` it is for what is missing or too old even for that. */
  readonly default?: number;
  /** Only, and always, with `stale`: how far beyond its TTL a value may still be served. */
  readonly maxStaleMs?: number;
}

export const SERVING_DEFAULTS: ServingSpec = {
  deadlineMs: 1000,
  maxBatchRows: 64,
  log: { features: [] },
  backend: { kind: 'onnx' },
};

/** Sections that manifests of an earlier Slipway do not have; they are kept as they were applied. */
type LaterSection = 'serving' | 'featureViews' | 'experiments';
export type StoredManifest = Omit<ModelManifest, LaterSection> & Partial<Pick<ModelManifest, LaterSection>>;

/** Reads a manifest that an earlier Slipway stored: what it could not say means what it means when left out today. */
export function completeManifest(stored: StoredManifest): ModelManifest {
  const { serving, featureViews = [], experiments = [], ...rest } = stored;
  return { ...rest, serving: { ...SERVING_DEFAULTS, ...serving }, featureViews, experiments };
}

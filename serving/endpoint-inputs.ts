/** What an endpoint's contract with its callers makes of a request; built once for each contract. */
import type { FeatureJoiner, OnlineFeatures } from './features/index.ts';
import { predictionSchema } from './prediction-log/index.ts';
import type { EndpointLog, SegmentLog } from './prediction-log/index.ts';
import type { EndpointSpec } from './ports.ts';
import { inputContract } from './protocol/input-contract.ts';
import type { InputContract } from './protocol/input-contract.ts';

export interface EndpointInputs {
  readonly contract: InputContract;
  /** Null when callers send every column. */
  readonly joiner: FeatureJoiner | null;
  /** Null when this gateway keeps no prediction log on disk. */
  readonly log: EndpointLog | null;
  /** Whether any feature is on the log's allow-list. */
  readonly logsFeatures: boolean;
}

export interface InputParts {
  readonly maxRows: number;
  /** Null without an online store. */
  readonly features: OnlineFeatures | null;
  readonly segments: SegmentLog | null;
}

export function endpointInputs(
  spec: EndpointSpec,
  { maxRows, features, segments }: InputParts,
): EndpointInputs {
  const { endpoint, serving } = spec;
  return {
    contract: inputContract(spec.features, maxRows, spec.featureViews),
    joiner: features?.joiner(spec.features, spec.featureViews) ?? null,
    log: segments?.endpoint(predictionSchema(endpoint, spec.features, serving.log.features)) ?? null,
    logsFeatures: segments !== null && serving.log.features.length > 0,
  };
}

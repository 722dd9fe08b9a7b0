/** Model metadata of the V2 protocol, and the names that versions go by in paths. */
import { SlipwayError } from '../../domain/errors.ts';
import type { Digest } from '../../domain/routing/route.ts';
import { servedTensors } from '../../domain/registry/served-tensors.ts';
import type { ServedEndpoint } from '../served-endpoint.ts';

/** Digests are long; this many hex characters (48 bits) name a version among the few that are loaded. */
const MIN_PREFIX = 12;

/**
 * A loaded version by its digest, with or without `sha256:`, or by the first 12 or more of its hex characters.
 * @throws SlipwayError `VERSION_NOT_FOUND`
 */
export function resolveVersion(endpoint: ServedEndpoint, name: string): Digest {
  const hex = name.startsWith('sha256:') ? name.slice('sha256:'.length) : name;
  const matches =
    hex.length < MIN_PREFIX
      ? []
      : endpoint.readyVersions().filter((digest) => digest.startsWith(`sha256:${hex}`));
  const [match] = matches;
  if (match !== undefined && matches.length === 1) return match;
  throw new SlipwayError(
    'VERSION_NOT_FOUND',
    `no loaded version of ${endpoint.name} has this digest; give all of it or its first ${MIN_PREFIX} hex characters`,
  );
}

export function modelMetadata(endpoint: ServedEndpoint, version: Digest | null): object {
  const { features } = endpoint.spec;
  const { inputs, outputs } = servedTensors(features.length);
  return {
    name: endpoint.name,
    versions: version === null ? endpoint.readyVersions() : [version],
    platform: 'onnx_onnxv1',
    // Which column is which feature; without it a caller has to guess.
    inputs: inputs.map((input) => ({ ...input, parameters: { features: features.map(({ name }) => name) } })),
    outputs,
  };
}

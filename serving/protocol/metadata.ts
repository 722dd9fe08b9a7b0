/** Server and model metadata of the V2 protocol, and the names that versions go by in paths. */
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

/** Extensions of the protocol that this gateway really has. Its repository index answers in any case. */
export function serverMetadata(
  version: string,
  { modelControl }: { readonly modelControl: boolean },
): object {
  const extensions = ['binary_tensor_data', 'statistics'];
  if (modelControl) extensions.push('model_repository');
  return { name: 'slipway', version, extensions };
}

export function modelMetadata(endpoint: ServedEndpoint, version: Digest | null): object {
  const { supplied, matrix, entities } = endpoint.inputs.contract;
  const { inputs, outputs } = servedTensors(supplied.length);
  return {
    name: endpoint.name,
    versions: version === null ? endpoint.readyVersions() : [version],
    platform: 'onnx_onnxv1',
    inputs: [
      // Which column is which feature; without it a caller has to guess.
      ...(supplied.length === 0
        ? []
        : inputs.map((input) => ({ ...input, parameters: { features: matrix.columns } }))),
      ...entities.map((name) => ({ name, datatype: 'BYTES', shape: [-1] })),
    ],
    outputs,
  };
}

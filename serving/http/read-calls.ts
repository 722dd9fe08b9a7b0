/** Everything that is not an inference: health, metadata, statistics, the repository, metrics. Never shed. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { SlipwayError } from '../../domain/errors.ts';
import type { GatewayMetrics } from '../metrics.ts';
import { modelMetadata, resolveVersion, serverMetadata } from '../protocol/metadata.ts';
import {
  parseIndexRequest,
  parseLoadRequest,
  parseUnloadRequest,
  repositoryIndex,
} from '../protocol/repository.ts';
import { statisticsDocument, versionStatistics } from '../protocol/statistics-document.ts';
import type { ServedEndpoint } from '../served-endpoint.ts';
import { checkMediaType, contentEncoding } from './media-type.ts';
import { readBody } from './read-body.ts';
import { send } from './send.ts';
import type { Target } from './target.ts';

export interface ReadOptions {
  readonly endpoints: ReadonlyMap<string, ServedEndpoint>;
  readonly isReady: () => boolean;
  readonly maxBodyBytes: number;
  /** Of this software. */
  readonly version: string;
  /** Whether callers may load and unload models. */
  readonly modelControl: boolean;
  readonly metrics: GatewayMetrics;
}

type ReadTarget = Exclude<Target, { kind: 'infer' }>;

/** @throws SlipwayError that the caller is answered with */
export async function handleRead(
  options: ReadOptions,
  target: ReadTarget,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (target.kind === 'metrics') {
    const { contentType, body } = await options.metrics.handler();
    response.writeHead(200, { 'content-type': contentType, 'content-length': Buffer.byteLength(body) });
    response.end(body);
    return;
  }
  const { status, document } = await answer(options, target, request);
  send(response, status, JSON.stringify(document), null);
}

interface ReadAnswer {
  readonly status: number;
  readonly document: object;
}

const ok = (document: object): ReadAnswer => ({ status: 200, document });

async function answer(
  { endpoints, isReady, maxBodyBytes, modelControl, version: software }: ReadOptions,
  target: Exclude<ReadTarget, { kind: 'metrics' }>,
  request: IncomingMessage,
): Promise<ReadAnswer> {
  const body = (): Promise<Buffer> => {
    checkMediaType(request.headers);
    return readBody(request, maxBodyBytes, contentEncoding(request.headers));
  };
  switch (target.kind) {
    case 'live':
      return ok({ live: true });
    case 'ready':
      return isReady() ? ok({ ready: true }) : { status: 503, document: { ready: false } };
    case 'server':
      return ok(serverMetadata(software, { modelControl }));
    case 'stats':
      return ok(
        statisticsDocument([...endpoints.values()].flatMap((endpoint) => versionStatistics(endpoint, null))),
      );
    case 'repository-index':
      return ok(repositoryIndex(endpoints.values(), parseIndexRequest(await body()).onlyReady));
    case 'model-load':
    case 'model-unload': {
      if (target.kind === 'model-load') parseLoadRequest(await body());
      else parseUnloadRequest(await body());
      const endpoint = endpointOf(endpoints, target.model);
      if (!modelControl) throw controlDisabled();
      if (target.kind === 'model-load') await endpoint.load();
      else endpoint.unload();
      return ok({});
    }
    case 'model':
    case 'model-ready':
    case 'model-stats':
      return ofModel(endpointOf(endpoints, target.model), target);
  }
}

function ofModel(
  endpoint: ServedEndpoint,
  { kind, version: name }: Extract<ReadTarget, { kind: 'model' | 'model-ready' | 'model-stats' }>,
): ReadAnswer {
  const version = name === undefined ? null : resolveVersion(endpoint, name);
  switch (kind) {
    case 'model':
      return ok(modelMetadata(endpoint, version));
    case 'model-ready': {
      const ready = endpoint.serving !== null;
      return { status: ready ? 200 : 503, document: { name: endpoint.name, ready } };
    }
    case 'model-stats':
      return ok(statisticsDocument(versionStatistics(endpoint, version)));
  }
}

/** @throws SlipwayError `MODEL_NOT_FOUND` */
export function endpointOf(endpoints: ReadonlyMap<string, ServedEndpoint>, model: string): ServedEndpoint {
  const endpoint = endpoints.get(model);
  if (endpoint === undefined)
    throw new SlipwayError('MODEL_NOT_FOUND', 'no model of this name is served here');
  return endpoint;
}

function controlDisabled(): SlipwayError {
  return new SlipwayError(
    'MODEL_CONTROL_DISABLED',
    'what is loaded follows the route; release or roll back a version to change it, or start the gateway with SLIPWAY_GATEWAY_MODEL_CONTROL=explicit',
  );
}

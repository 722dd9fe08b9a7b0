/** What a path asks for. */
import { SlipwayError } from '../../domain/errors.ts';

export type Target =
  | { readonly kind: 'live' | 'ready' | 'server'; readonly method: 'GET' }
  | { readonly kind: 'metrics'; readonly method: 'GET' }
  | { readonly kind: 'stats'; readonly method: 'GET' }
  | { readonly kind: 'repository-index'; readonly method: 'POST' }
  | { readonly kind: 'model-load' | 'model-unload'; readonly method: 'POST'; readonly model: string }
  | {
      readonly kind: 'model' | 'model-ready';
      readonly method: 'GET';
      readonly model: string;
      readonly version: string | undefined;
    }
  | {
      readonly kind: 'model-stats';
      readonly method: 'GET';
      readonly model: string;
      readonly version: string | undefined;
    }
  | {
      readonly kind: 'infer';
      readonly method: 'POST';
      readonly model: string;
      readonly version: string | undefined;
    };

const FIXED: Readonly<Record<string, Target>> = {
  '/health/live': { kind: 'live', method: 'GET' },
  '/health/ready': { kind: 'ready', method: 'GET' },
  '/metrics': { kind: 'metrics', method: 'GET' },
  '/v2': { kind: 'server', method: 'GET' },
  '/v2/': { kind: 'server', method: 'GET' },
  '/v2/health/live': { kind: 'live', method: 'GET' },
  '/v2/health/ready': { kind: 'ready', method: 'GET' },
  // Not a model of that name: the extension has this path.
  '/v2/models/stats': { kind: 'stats', method: 'GET' },
  '/v2/repository/index': { kind: 'repository-index', method: 'POST' },
};

const MODELS = '/v2/models/';
const REPOSITORY = '/v2/repository/models/';

/** @throws SlipwayError `NOT_FOUND` */
export function targetOf(url: string): Target {
  const query = url.indexOf('?');
  const path = query === -1 ? url : url.slice(0, query);
  // Most requests are inferences: they end here.
  if (path.startsWith(MODELS) && path !== '/v2/models/stats') {
    const target = modelTarget(path.slice(MODELS.length).split('/'));
    if (target !== undefined) return target;
  }
  const fixed = Object.hasOwn(FIXED, path) ? FIXED[path] : undefined;
  if (fixed !== undefined) return fixed;
  if (path.startsWith(REPOSITORY)) {
    const target = controlTarget(path.slice(REPOSITORY.length).split('/'));
    if (target !== undefined) return target;
  }
  throw new SlipwayError(
    'NOT_FOUND',
    'there is nothing under this path; GET /v2/models/<model> describes a model',
  );
}

/** `<model>[/versions/<version>][/infer|/ready|/stats]` */
function modelTarget(parts: readonly string[]): Target | undefined {
  const [name = '', second] = parts;
  const versioned = second === 'versions';
  const action = parts[versioned ? 3 : 1];
  if (parts.length > (versioned ? 4 : 2) || name === '') return undefined;
  const model = decode(name);
  const version = versioned ? decode(parts[2] ?? '') : undefined;
  if (version === '') return undefined;
  switch (action) {
    case 'infer':
      return { kind: 'infer', method: 'POST', model, version };
    case 'ready':
      return { kind: 'model-ready', method: 'GET', model, version };
    case 'stats':
      return { kind: 'model-stats', method: 'GET', model, version };
    case undefined:
      return { kind: 'model', method: 'GET', model, version };
    default:
      return undefined;
  }
}

/** `<model>/load` or `<model>/unload` */
function controlTarget([name = '', action, ...rest]: readonly string[]): Target | undefined {
  if (name === '' || rest.length > 0 || (action !== 'load' && action !== 'unload')) return undefined;
  return { kind: `model-${action}`, method: 'POST', model: decode(name) };
}

function decode(part: string): string {
  if (!part.includes('%')) return part;
  try {
    return decodeURIComponent(part);
  } catch {
    throw new SlipwayError('NOT_FOUND', 'the path is not correctly percent-encoded');
  }
}

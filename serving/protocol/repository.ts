/**
 * The V2 model repository extension. Its repository is what the routes name: a version that nobody has released and
 * signed can be neither listed nor loaded, and no caller replaces a file or a configuration.
 */
import type { VersionState } from '../../domain/rollout/arm-window.ts';
import type { Digest } from '../../domain/routing/route.ts';
import { brief, invalid, isObject, refuseDeepMembers, show } from './refusal.ts';
import { checkParameters, flag } from './request-parameters.ts';

/** What the gateway has to offer of an endpoint; `ServedEndpoint` is one. */
export interface RepositorySource {
  readonly name: string;
  readyVersions(): readonly Digest[];
  acknowledgement(): { readonly versions: Readonly<Record<Digest, VersionState>> };
}

export interface RepositoryEntry {
  readonly name: string;
  readonly version: Digest;
  readonly state: 'READY' | 'LOADING' | 'UNAVAILABLE';
  readonly reason: string;
}

/** Versions that the route wants, in whatever state, and those that are loaded besides. */
export function repositoryIndex(
  sources: Iterable<RepositorySource>,
  onlyReady: boolean,
): readonly RepositoryEntry[] {
  const entries: RepositoryEntry[] = [];
  for (const source of sources) {
    const { name } = source;
    const ready = new Set(source.readyVersions());
    for (const version of ready) entries.push({ name, version, state: 'READY', reason: '' });
    if (onlyReady) continue;
    for (const [version, state] of Object.entries(source.acknowledgement().versions)) {
      if (!ready.has(version)) entries.push({ name, version, ...wireState(state) });
    }
  }
  return entries;
}

function wireState(state: VersionState): Pick<RepositoryEntry, 'state' | 'reason'> {
  switch (state.state) {
    case 'ready':
      return { state: 'READY', reason: '' };
    case 'loading':
      return { state: 'LOADING', reason: '' };
    case 'refused':
      return { state: 'UNAVAILABLE', reason: `${state.code}: ${state.message}` };
  }
}

/** Body of `POST v2/repository/index`; an empty one asks for everything. */
export function parseIndexRequest(body: Buffer): { readonly onlyReady: boolean } {
  const document = readObject(body, INDEX_MEMBERS);
  return { onlyReady: flag(document['ready'], 'ready') ?? false };
}

/** Body of `POST v2/repository/models/{model}/load`. */
export function parseLoadRequest(body: Buffer): void {
  for (const name in readControl(body)) {
    if (name === 'config' || name.startsWith('file:')) {
      throw invalid(
        `parameters.${brief(name)} is not supported: a gateway serves only what was verified and signed, as it was signed`,
      );
    }
  }
}

/** Body of `POST v2/repository/models/{model}/unload`. Models have no dependents here: either value does the same. */
export function parseUnloadRequest(body: Buffer): { readonly unloadDependents: boolean } {
  const value = readControl(body)['unload_dependents'];
  return { unloadDependents: flag(value, 'parameters.unload_dependents') ?? false };
}

const INDEX_MEMBERS = new Set(['ready']);
const CONTROL_MEMBERS = new Set(['parameters']);

function readControl(body: Buffer): Record<string, unknown> {
  const { parameters = {} } = readObject(body, CONTROL_MEMBERS);
  if (!isObject(parameters)) throw invalid(`parameters must be an object, not ${show(parameters)}`);
  checkParameters(parameters, 'parameters', []);
  return parameters;
}

function readObject(body: Buffer, known: ReadonlySet<string>): Record<string, unknown> {
  if (body.length === 0) return {};
  let document: unknown;
  try {
    document = JSON.parse(body.toString('utf8'));
  } catch {
    throw invalid('the body is not JSON');
  }
  if (!isObject(document)) throw invalid('the body must be a JSON object');
  refuseDeepMembers(document, known, '');
  return document;
}

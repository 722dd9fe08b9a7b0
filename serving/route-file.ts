/**
 * The last good state on disk, so that a gateway starts and serves without the control plane. It needs no protection
 * of its own: descriptors in it are verified like any other before they are loaded, and a candidate in it has no lease.
 */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { SlipwayError } from '../domain/errors.ts';
import { errorCode, makeFolder, writeFileAtomically } from '../platform/atomic-file.ts';
import type { EndpointState, Revocations } from './ports.ts';

export interface SavedRoutes {
  readonly endpoints: readonly EndpointState[];
  readonly revocations: Revocations;
}

/** 2: routes have experiments, endpoints their serving settings. */
const FORMAT = 2;

export function routeFilePath(stateFolder: string, gatewayId: string): string {
  // An id holds a colon, and may hold anything else.
  return join(stateFolder, encodeURIComponent(gatewayId), 'routes.json');
}

export async function saveRoutes(path: string, { endpoints, revocations }: SavedRoutes): Promise<void> {
  const withoutLeases = endpoints.map((state) => ({ ...state, leaseRemainingMs: null }));
  await makeFolder(dirname(path));
  await writeFileAtomically(path, JSON.stringify({ format: FORMAT, endpoints: withoutLeases, revocations }));
}

/**
 * @returns null when nothing was saved yet.
 * @throws SlipwayError `UNAVAILABLE` when the file is there and cannot be used.
 */
export async function loadRoutes(path: string): Promise<SavedRoutes | null> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw unusable(path, error);
  }
  try {
    const saved = JSON.parse(text) as SavedRoutes & { format: unknown };
    if (saved.format !== FORMAT || !Array.isArray(saved.endpoints))
      throw new TypeError(`format ${String(saved.format)}`);
    return { endpoints: saved.endpoints, revocations: saved.revocations };
  } catch (error) {
    throw unusable(path, error);
  }
}

function unusable(path: string, cause: unknown): SlipwayError {
  const message = 'the saved routes cannot be read; the gateway waits for the control plane instead';
  return new SlipwayError('UNAVAILABLE', message, { internal: path, cause });
}

/**
 * A process starts from the newest last good routes of its family, not from what its slot left behind when it was used
 * last: without the control plane it would otherwise know no routes, or serve what was replaced long ago.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errorCode, makeFolder, writeFileAtomically } from '../../platform/atomic-file.ts';
import { routeFilePath } from '../route-file.ts';

/** @param family the gateway's id without the slot; a gateway that ran alone saved its routes under it. */
export async function seedRoutes(stateFolder: string, family: string, slot: number): Promise<void> {
  const own = routeFilePath(stateFolder, memberId(family, slot));
  let newest = { path: own, ms: await changedMs(own) };
  for (const name of await namesIn(stateFolder)) {
    const id = decode(name);
    if (id !== family && !isMember(family, id)) continue;
    const path = join(stateFolder, name, 'routes.json');
    const ms = await changedMs(path);
    if (ms > newest.ms) newest = { path, ms };
  }
  if (newest.path === own) return;
  await makeFolder(dirname(own));
  await writeFileAtomically(own, await readFile(newest.path));
}

export function memberId(family: string, slot: number): string {
  return `${family}/${slot}`;
}

function isMember(family: string, id: string): boolean {
  return id.startsWith(`${family}/`) && /^\d+$/.test(id.slice(family.length + 1));
}

/** Somebody else's folder may have a name that is no encoded id. */
function decode(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return '';
  }
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

/** −∞ when there is no such file. */
async function changedMs(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return -Infinity;
    throw error;
  }
}

/** Where a server's time went, from a profile that Node wrote with `--cpu-prof`. */
import { readFile, readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { projectRoot } from '../../../platform/root.ts';

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: {
      readonly functionName: string;
      readonly url: string;
      readonly lineNumber: number;
    };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

export interface SelfTime {
  readonly name: string;
  /** Of the time in which the program was not idle. */
  readonly share: number;
}

/** The functions that most time was spent in itself; of several threads' profiles, those of the busiest. */
export async function selfTimes(folder: string): Promise<readonly SelfTime[]> {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.cpuprofile'));
  const profiles = await Promise.all(
    files.map(async (file) => tally(JSON.parse(await readFile(join(folder, file), 'utf8')) as CpuProfile)),
  );
  const [busiest] = profiles.sort((a, b) => b.total - a.total);
  if (busiest === undefined) throw new Error(`no profile in ${folder}: the server did not end by itself`);
  return [...busiest.times]
    .map(([name, us]) => ({ name, share: us / busiest.total }))
    .sort((a, b) => b.share - a.share);
}

function tally({ nodes, samples, timeDeltas }: CpuProfile): { times: Map<string, number>; total: number } {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const times = new Map<string, number>();
  let total = 0;
  for (const [index, id] of samples.entries()) {
    const name = names.get(id) ?? '?';
    const us = timeDeltas[index] ?? 0;
    if (name === '(idle)') continue;
    times.set(name, (times.get(name) ?? 0) + us);
    total += us;
  }
  return { times, total };
}

function nameOf({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  const name = functionName === '' ? '(anonymous)' : functionName;
  if (url === '') return name;
  const file = url.startsWith('file:') ? relative(projectRoot(), fileURLToPath(url)) : url;
  return `${name} ${file.replace(/^(\.\.\/)*.*node_modules\//, '').replace(/^dist\//, '')}:${lineNumber + 1}`;
}

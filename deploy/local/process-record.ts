import { join } from 'node:path';

import { isRecord, readJsonFile, writeFileAtomic } from './atomic-file.ts';
import { isRunning, stopProcess } from './process-identity.ts';
import type { ProcessIdentity } from './process-identity.ts';

/**
 * `processes.json`: what the supervisor of a home has started, written at each change. It is for the next start,
 * should this one and its reaper be ended before they could clean up.
 */
export interface RecordedProcess extends ProcessIdentity {
  readonly name: string;
  readonly signal: NodeJS.Signals;
}

const fileOf = (home: string): string => join(home, 'processes.json');

export function recordProcesses(home: string, processes: readonly RecordedProcess[]): void {
  writeFileAtomic(fileOf(home), `${JSON.stringify(processes, null, 2)}\n`);
}

function isRecorded(value: unknown): value is RecordedProcess {
  return (
    isRecord(value) &&
    typeof value.pid === 'number' &&
    typeof value.started === 'string' &&
    typeof value.name === 'string' &&
    (value.signal === 'SIGTERM' || value.signal === 'SIGINT')
  );
}

/** Those of the record that still run; a pid that another process has by now is not among them. */
function survivingProcesses(home: string): readonly RecordedProcess[] {
  const value = readJsonFile(fileOf(home));
  return Array.isArray(value) ? value.filter(isRecorded).filter(isRunning) : [];
}

/**
 * Ends what a killed supervisor left behind, last started first. The holder of the home's lock may do so: the
 * processes are those that the record proves to be of this home.
 * @returns the names of what was ended.
 */
export async function stopSurvivors(home: string, graceMs = 5000): Promise<readonly string[]> {
  const survivors = survivingProcesses(home).toReversed();
  for (const survivor of survivors) {
    await stopProcess(survivor, [
      { signal: survivor.signal, waitMs: graceMs },
      { signal: 'SIGKILL', waitMs: 5000 },
    ]);
  }
  recordProcesses(home, []);
  return survivors.map((survivor) => survivor.name);
}

/** Finds a Python that a trainer's environment can be built on. */
import { execFile } from 'node:child_process';
import { SlipwayError } from '../domain/errors.ts';

export interface BasePython {
  readonly executable: string;
  /** `3.11.7` */
  readonly version: string;
}

const OLDEST = [3, 10] as const;
/** Where the default name gives an old version, or one whose `venv` the distribution packs apart. */
const OTHER_NAMES = ['python3.13', 'python3.12', 'python3.11', 'python3.10', '/usr/bin/python3'];
const PROBE =
  'import json, sys, venv, ensurepip; print(json.dumps([sys.executable, list(sys.version_info[:3])]))';
const VERSION_ONLY = 'import sys; print(".".join(map(str, sys.version_info[:3])))';

/**
 * @param wanted name or path; only the default name `python3` makes the other usual names be tried.
 * @throws SlipwayError DEPENDENCY_MISSING with what was found and what to install
 */
export async function findPython(wanted: string): Promise<BasePython> {
  const found: string[] = [];
  for (const name of wanted === 'python3' ? [wanted, ...OTHER_NAMES] : [wanted]) {
    const probed = await probe(name);
    if (typeof probed === 'object') return probed;
    found.push(`${name}: ${probed}`);
  }
  throw new SlipwayError(
    'DEPENDENCY_MISSING',
    `Python 3.10 or newer with venv and pip is needed. Found ${found.join('; ')}. Install one (Debian, Ubuntu: apt-get install python3 python3-venv; macOS: brew install python) or name it in SLIPWAY_PYTHON.`,
  );
}

async function probe(name: string): Promise<BasePython | string> {
  const version = await output(name, VERSION_ONLY);
  if (version === undefined) return 'not there';
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) return `${version} is too old`;
  const probed = await output(name, PROBE);
  if (probed === undefined) return `${version} without venv or ensurepip`;
  const [executable] = JSON.parse(probed) as [string, number[]];
  return { executable, version };
}

function output(name: string, program: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(name, ['-I', '-c', program], { timeout: 20_000 }, (error, stdout) => {
      resolve(error === null ? stdout.trim() : undefined);
    });
  });
}

/** Results on disk: one file for each profile, so that a profile can be repeated alone and the report made of all. */
import { execFileSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '../../../platform/root.ts';
import type { BareCell } from '../peers/measure.ts';
import type { CapacityResult, OverloadResult, PhasesResult, SwapResult } from './profiles.ts';
import type { SoakResult } from './soak.ts';

export interface Environment {
  readonly date: string;
  readonly commit: string;
  readonly cpu: string;
  readonly cores: number;
  readonly kernel: string;
  readonly node: string;
  readonly pinned: boolean;
  readonly quick: boolean;
  readonly model: { readonly title: string; readonly digest: string };
}

/** How many windows a profile took, and what became of those that others disturbed. */
export interface Windows {
  readonly taken: number;
  readonly discarded: number;
  readonly keptNoisy: number;
}

export interface Kept<Result> {
  readonly environment: Environment;
  readonly windows: Windows;
  readonly result: Result;
}

export interface Results {
  readonly bare?: Kept<readonly BareCell[]>;
  readonly capacity?: Kept<CapacityResult>;
  readonly step?: Kept<PhasesResult>;
  readonly peak?: Kept<PhasesResult>;
  readonly overload?: Kept<OverloadResult>;
  readonly swap?: Kept<SwapResult>;
  readonly soak?: Kept<SoakResult>;
}

export const PROFILES = ['bare', 'capacity', 'step', 'peak', 'overload', 'swap', 'soak'] as const;
export type Profile = (typeof PROFILES)[number];

export async function keep<P extends Profile>(folder: string, profile: P, kept: Results[P]): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, `${profile}.json`), `${JSON.stringify(kept)}\n`);
}

/** NaN is null in JSON, and numbers only are read back. */
export async function readResults(folder: string): Promise<Results> {
  const found: Record<string, unknown> = {};
  for (const profile of PROFILES) {
    try {
      const text = await readFile(join(folder, `${profile}.json`), 'utf8');
      found[profile] = JSON.parse(text, (_, value: unknown) => (value === null ? NaN : value));
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    }
  }
  return found as Results;
}

export function environmentOf(more: Pick<Environment, 'pinned' | 'quick' | 'model'>): Environment {
  const git = (...args: string[]): string =>
    execFileSync('git', args, { cwd: projectRoot(), encoding: 'utf8' }).trim();
  const changed = git('status', '--porcelain', '--untracked-files=no') !== '';
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: `commit ${git('rev-parse', '--short', 'HEAD')}${changed ? ' with changes' : ''}`,
    cpu: cpus()[0]?.model ?? 'unknown CPU',
    cores: cpus().length,
    kernel: release(),
    node: process.version,
    ...more,
  };
}

import {
  accessSync,
  chmodSync,
  constants,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';

import { SlipwayError } from '../../domain/errors.ts';
import { inheritedEnvironment } from '../../platform/config.ts';
import { projectRoot } from '../../platform/root.ts';
import { acquireLock, waitForLock } from './lock-file.ts';
import type { LockResult } from './lock-file.ts';
import { withProgress } from './progress.ts';
import type { OnProgress } from './progress.ts';
import { runCommand } from './run-command.ts';

/** The newest version that builds from the Go proxy: later ones have replace directives, which `go install` refuses. */
const VERSION = '1.5.1';
const GO_PACKAGE = `github.com/temporalio/cli/cmd/temporal@v${VERSION}`;

export interface TemporalBinary {
  readonly path: string;
  readonly from: 'path' | 'cache' | 'download' | 'go';
}

export interface FindTemporalOptions {
  readonly cacheFolder: string;
  readonly onProgress: OnProgress;
  /** The search path; the process's own by default. */
  readonly searchPath?: string;
  /** Milliseconds without a byte after which the download is given up. */
  readonly timeoutMsDownloadSilence?: number;
  /** For tests: without it the download and the build are what they say. */
  readonly sources?: readonly ('path' | 'cache' | 'download' | 'go')[];
}

/** Where the binaries of a user lie; a crash of a builder leaves only what the next one removes. */
const binFolder = (cacheFolder: string): string => join(cacheFolder, 'bin');
const builtPath = (cacheFolder: string): string => join(binFolder(cacheFolder), `temporal-${VERSION}`);
const downloadedPath = (cacheFolder: string): string => join(binFolder(cacheFolder), 'temporal-downloaded');

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false; // absent, a folder, or not for us: for the search these are one
  }
}

export function findOnPath(
  program: string,
  searchPath = inheritedEnvironment().PATH ?? '',
): string | undefined {
  const names = process.platform === 'win32' ? [`${program}.exe`, `${program}.cmd`, program] : [program];
  return searchPath
    .split(delimiter)
    .filter((folder) => folder !== '')
    .flatMap((folder) => names.map((name) => join(folder, name)))
    .find(isExecutable);
}

async function runs(path: string): Promise<boolean> {
  const { code } = await runCommand(path, ['--version'], { timeoutMs: 10_000 });
  return code === 0;
}

/** What is there already, without downloading or building; for `doctor` too. */
export async function findInstalledTemporal(
  options: Pick<FindTemporalOptions, 'cacheFolder' | 'searchPath' | 'sources'>,
): Promise<TemporalBinary | undefined> {
  const sources = options.sources ?? ['path', 'cache'];
  const onPath = sources.includes('path') ? findOnPath('temporal', options.searchPath) : undefined;
  if (onPath !== undefined && (await runs(onPath))) return { path: onPath, from: 'path' };
  if (!sources.includes('cache')) return undefined;
  for (const path of [builtPath(options.cacheFolder), downloadedPath(options.cacheFolder)]) {
    if (isExecutable(path) && (await runs(path))) return { path, from: 'cache' };
  }
  return undefined;
}

/** @throws SlipwayError DEPENDENCY_MISSING that says what to install. */
export async function findTemporal(options: FindTemporalOptions): Promise<TemporalBinary> {
  const installed = await findInstalledTemporal(options);
  if (installed !== undefined) return installed;
  return await withLock(options, async () => {
    // Another process may have built it while this one waited for the lock.
    const meanwhile = await findInstalledTemporal(options);
    if (meanwhile !== undefined) return meanwhile;
    const sources = options.sources ?? ['download', 'go'];
    const reasons: string[] = [];
    if (sources.includes('download')) {
      const downloaded = await attempt(() => download(options));
      if ('path' in downloaded) return downloaded;
      reasons.push(downloaded.reason);
      options.onProgress({ step: 'Temporal', state: 'note', elapsedMs: 0, detail: downloaded.reason });
    }
    if (sources.includes('go')) {
      const built = await attempt(() => build(options));
      if ('path' in built) return built;
      reasons.push(built.reason);
    }
    throw new SlipwayError(
      'DEPENDENCY_MISSING',
      'No Temporal server was found. Do one of these and start again: install the Temporal CLI so that `temporal` is ' +
        'on the PATH; install Go 1.24 or newer, with which Slipway builds it once; or set TEMPORAL_ADDRESS to a ' +
        `server that runs. What was tried: ${reasons.join('; ')}.`,
    );
  });
}

/** Two stacks that start at once on a fresh machine build once. */
async function withLock<T>(options: FindTemporalOptions, run: () => Promise<T>): Promise<T> {
  mkdirSync(binFolder(options.cacheFolder), { recursive: true });
  const path = join(binFolder(options.cacheFolder), 'temporal.lock');
  let lock: LockResult = acquireLock(path);
  if (!lock.held) {
    const { pid } = lock.holder;
    lock = await withProgress(
      options.onProgress,
      'waiting for another Slipway that gets Temporal',
      () => waitForLock(path),
      () => `pid ${pid}`,
    );
  }
  try {
    return await run();
  } finally {
    if (lock.held) lock.release();
  }
}

type Attempt = TemporalBinary | { readonly reason: string };

/** Makes the progress of a way that did not work end as failed; the next way is tried. */
class NotObtained extends Error {}

async function attempt(run: () => Promise<TemporalBinary>): Promise<Attempt> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof NotObtained) return { reason: error.message };
    throw error;
  }
}

/** A fresh folder beside the goal, so that the finished binary arrives by a rename. */
function workFolder(cacheFolder: string, name: string): string {
  const folder = join(binFolder(cacheFolder), name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return folder;
}

function bytesIn(folder: string): number {
  return readdirSync(folder).reduce(
    (sum, name) => sum + (statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0),
    0,
  );
}

function adopt(from: string, to: string): void {
  chmodSync(from, 0o755);
  renameSync(from, to);
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1)?.trim().slice(0, 300) ?? '';

async function download(options: FindTemporalOptions): Promise<TemporalBinary> {
  const folder = workFolder(options.cacheFolder, 'download');
  const silenceMs = options.timeoutMsDownloadSilence ?? 10_000;
  const stalled = new AbortController();
  let bytes = 0;
  let grewAt = performance.now();
  const watch = setInterval(() => {
    const now = bytesIn(folder);
    if (now !== bytes) grewAt = performance.now();
    bytes = now;
    if (performance.now() - grewAt > silenceMs) stalled.abort();
  }, 250);
  try {
    return await withProgress(
      options.onProgress,
      'downloading Temporal',
      async () => {
        const entry = join(projectRoot(), 'dist', 'deploy', 'local', 'download-temporal.main.js');
        const result = await runCommand(process.execPath, [entry, folder], {
          timeoutMs: 15 * 60_000,
          signal: stalled.signal,
        });
        const file = readdirSync(folder).find(
          (name) => name.startsWith('temporal') && isExecutable(join(folder, name)),
        );
        if (file === undefined || result.code !== 0) {
          const why = stalled.signal.aborted
            ? `nothing came for ${silenceMs / 1000} s`
            : 'the download failed';
          throw new NotObtained(`${why} (no internet access?)`);
        }
        adopt(join(folder, file), downloadedPath(options.cacheFolder));
        return { path: downloadedPath(options.cacheFolder), from: 'download' };
      },
      () => `${(bytes / 1e6).toFixed(0)} MB`,
    );
  } finally {
    clearInterval(watch);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Minutes on two cores, once; a killed build goes on from Go's own cache. */
async function build(options: FindTemporalOptions): Promise<TemporalBinary> {
  const go = findOnPath('go', options.searchPath);
  if (go === undefined) throw new NotObtained('there is no `go` on the PATH to build it with');
  const folder = workFolder(options.cacheFolder, 'build');
  let line = 'starting';
  try {
    return await withProgress(
      options.onProgress,
      `building Temporal ${VERSION} with Go (several minutes, once)`,
      async () => {
        const result = await runCommand(go, ['install', '-v', GO_PACKAGE], {
          env: inheritedEnvironment({ GOBIN: folder }),
          timeoutMs: 75 * 60_000,
          onLine: (text) => {
            line = text.slice(0, 100);
          },
        });
        const built = join(folder, process.platform === 'win32' ? 'temporal.exe' : 'temporal');
        if (result.code !== 0 || !isExecutable(built)) {
          const why = result.timedOut ? 'it took longer than 75 minutes' : lastLine(result.output);
          throw new NotObtained(`\`go install ${GO_PACKAGE}\` failed: ${why}`);
        }
        adopt(built, builtPath(options.cacheFolder));
        return { path: builtPath(options.cacheFolder), from: 'go' };
      },
      () => line,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

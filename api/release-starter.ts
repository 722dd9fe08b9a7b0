/**
 * A release is kept in the database before its workflow starts. When Temporal does not answer then, the release is not
 * lost and not stuck: this starts it as soon as Temporal does. Starting twice is a no-op.
 */
import type { FastifyBaseLogger } from 'fastify';

import { SlipwayError } from '../domain/errors.ts';
import type { Release } from '../domain/release/release.ts';
import type { ReleaseStore, ReleaseWorkflows } from './ports.ts';

type Log = Pick<FastifyBaseLogger, 'warn' | 'info'>;

/** False when Temporal does not answer. Other errors are thrown. */
export async function startRelease(
  workflows: ReleaseWorkflows,
  release: Release,
  log: Log,
): Promise<boolean> {
  try {
    await workflows.start(release);
    return true;
  } catch (error) {
    if (!(error instanceof SlipwayError && error.code === 'UNAVAILABLE')) throw error;
    log.warn({ releaseId: release.id, err: error }, 'the release waits for Temporal');
    return false;
  }
}

export interface ReleaseStarter {
  close(): Promise<void>;
}

/** Looks for releases that never got past their first phase, at once and every `intervalMs`. */
export function keepStarting(
  { releases, workflows }: { readonly releases: ReleaseStore; readonly workflows: ReleaseWorkflows },
  log: Log,
  intervalMs = 5000,
): ReleaseStarter {
  const started = new Set<string>();
  const look = async (): Promise<void> => {
    for (const release of await releases.list({ limit: 1000 })) {
      if (release.outcome !== null || release.phase !== 'snapshot' || started.has(release.id)) continue;
      if (!(await startRelease(workflows, release, log))) return;
      started.add(release.id);
    }
  };
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> = Promise.resolve();
  const round = (): void => {
    looking = look()
      .catch((error: unknown) => log.warn({ err: error }, 'waiting releases could not be looked up'))
      .then(() => {
        if (!closed) timer = setTimeout(round, intervalMs).unref();
      });
  };
  round();
  return {
    async close() {
      closed = true;
      clearTimeout(timer);
      await looking;
    },
  };
}

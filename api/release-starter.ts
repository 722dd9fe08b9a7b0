/**
 * Keeps the registry and Temporal of one mind about releases. A release is kept in the database before its workflow
 * starts: when Temporal does not answer then, this starts it as soon as Temporal does. And a workflow that was terminated
 * cannot say that it has ended: this says it.
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

/** Looks at the releases that have not ended, at once and every `intervalMs`. */
export function keepStarting(
  { releases, workflows }: { readonly releases: ReleaseStore; readonly workflows: ReleaseWorkflows },
  log: Log,
  intervalMs = 5000,
): ReleaseStarter {
  const started = new Set<string>();
  const look = async (): Promise<void> => {
    for (const release of await releases.list({ limit: 1000 })) {
      if (release.outcome !== null) continue;
      if (release.phase === 'snapshot' && !started.has(release.id)) {
        if (!(await startRelease(workflows, release, log))) return;
        started.add(release.id);
        continue;
      }
      const ending = await workflows.endedFromOutside(release.id);
      if (ending === null) continue;
      const reason = `its workflow was ended from outside (${ending}); the champion serves`;
      const key = `${release.id}/${ending}`;
      await releases.record({
        releaseId: release.id,
        key,
        phase: 'done',
        message: `aborted: ${reason}`,
        outcome: 'aborted',
        reason,
      });
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

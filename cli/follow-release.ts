/** Follows a release to its end and tells its timeline as it grows. */
import { setTimeout as sleep } from 'node:timers/promises';

import type { ApiClient, ReleaseDetail } from '../api/client.ts';
import { SlipwayError } from '../domain/errors.ts';
import type { Output } from './output.ts';
import { withProgress } from './progress.ts';

const POLL_MS = 500;
/** An API that restarts is back within seconds; longer, and a person should know. */
const PATIENCE_MS = 60_000;

/** @param tell whether the timeline goes to stdout; else to stderr, for a result that is JSON. */
export async function followRelease(
  client: Pick<ApiClient, 'release'>,
  id: string,
  output: Output,
  tell: boolean,
): Promise<ReleaseDetail> {
  let told = 0;
  let asked = false;
  let lastAnswerMs = performance.now();
  let doing = 'waiting for the release';
  const say = (line: string): void => (tell ? output.line(line) : output.remark(line));

  const rounds = async (): Promise<ReleaseDetail> => {
    for (;;) {
      const detail = await ask(client, id, lastAnswerMs);
      if (detail !== undefined) {
        lastAnswerMs = performance.now();
        const { release, timeline, live } = detail;
        for (const { atMs, phase, message } of timeline.slice(told)) {
          say(`${new Date(atMs).toISOString().slice(11, 19)}  ${phase.padEnd(8)}  ${message}`);
        }
        told = timeline.length;
        if (release.outcome !== null) return detail;
        doing = live?.step
          ? `${live.step.kind} at ${live.step.weight} %, step ${live.step.index + 1}`
          : `phase ${release.phase}`;
        const waits = live?.waitingFor === 'approval';
        if (waits && !asked)
          output.remark(`${id} waits for its approval: slipway approve ${id} (in another terminal)`);
        asked = waits;
      }
      await sleep(POLL_MS);
    }
  };
  return withProgress(output, () => doing, rounds());
}

/** Undefined while the API is away for a short time. */
async function ask(
  client: Pick<ApiClient, 'release'>,
  id: string,
  lastAnswerMs: number,
): Promise<ReleaseDetail | undefined> {
  try {
    return await client.release(id);
  } catch (error) {
    const passing =
      error instanceof SlipwayError && error.retryable && performance.now() - lastAnswerMs < PATIENCE_MS;
    if (!passing) throw error;
    return undefined;
  }
}

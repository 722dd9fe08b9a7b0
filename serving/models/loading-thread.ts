/** Starts the thread that loads one model version, and waits for what it says first. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { SlipwayError } from '../../domain/errors.ts';
import type { LoadRequest, LoaderOptions } from './load-model.ts';
import type { LoadOrder, LoadResult } from './load-order.ts';
import { sampleRow, sampleRows } from './sample-rows.ts';

type Purpose = Pick<LoadOrder, 'isolate' | 'remote'>;

/** The thread lives on only when it has kept the model. @throws SlipwayError with what the version is refused for */
export async function runLoadingThread(
  { blobRoot, trustedKeysFolder, clock, limits }: LoaderOptions,
  { descriptor, features, revocations }: LoadRequest,
  purpose: Purpose,
): Promise<{ worker: Worker; result: Exclude<LoadResult, { kind: 'refused' }> }> {
  const order: LoadOrder = {
    descriptor,
    sampleRow: sampleRow(features),
    sampleRows: sampleRows(features),
    revokedDigests: revocations.digests,
    revokedKeyIds: revocations.keyIds,
    blobRoot,
    trustedKeysFolder,
    now: clock.now(),
    ...purpose,
    limits,
  };
  const worker = new Worker(new URL('./model-thread.js', import.meta.url), { workerData: order });
  const exited = new Promise((resolve) => worker.once('exit', resolve));
  const result = await firstMessage(worker);
  // Until the thread has left native code, the process must not exit.
  if (result.kind !== 'loaded' || result.model !== null) await exited;
  if (result.kind === 'refused') {
    throw new SlipwayError(result.code, result.message, { internal: result.internal ?? '' });
  }
  return { worker, result };
}

async function firstMessage(worker: Worker): Promise<LoadResult> {
  const ended = new AbortController();
  worker.once('exit', () => ended.abort());
  // A thread that dies is reported by its exit; without a listener here the error would end the process.
  worker.on('error', () => {});
  try {
    const [result] = (await once(worker, 'message', { signal: ended.signal })) as [LoadResult];
    return result;
  } catch (error) {
    // An error of the thread itself, such as running out of memory: it ends, the gateway goes on.
    throw new SlipwayError('MODEL_LOAD_FAILED', 'the thread that loaded the model ended unexpectedly', {
      internal: String(error),
      cause: error,
    });
  }
}

/**
 * Entry of the thread that loads one model version: verify, create, check the tensors, prove, measure. Reading,
 * hashing and creating would each stop the event loop for up to seconds with a large model.
 *
 * The bytes that are hashed, the bytes that ONNX Runtime gets here and the bytes that are handed to the event loop
 * are one buffer: nothing is read twice.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { InferenceSession } from 'onnxruntime-node';
import { SlipwayError } from '../../domain/errors.ts';
import { createBlobStore } from '../../platform/blobs.ts';
import { loadTrustedKeys } from '../../platform/keys.ts';
import { verifyForServing } from '../../platform/verify-for-serving.ts';
import { checkTensors } from './check-tensors.ts';
import { goldenRows } from './golden-rows.ts';
import type { Cost, LoadOrder, LoadResult, RunOrder, RunResult, ThreadOrder } from './load-order.ts';
import { createSession, runSession, tensorsOf } from './onnx.ts';
import { proveModel } from './prove-model.ts';

const MODEL_FILE = 'model.onnx';

interface Verified {
  readonly model: Uint8Array;
  readonly session: InferenceSession;
  readonly createMs: number;
}

async function loadVerified(order: LoadOrder): Promise<Verified> {
  const { descriptor, sampleRow } = order;
  const blobs = createBlobStore(order.blobRoot);
  const version = await verifyForServing(descriptor, {
    read: (digest) => blobs.read(digest),
    trustedKeys: await loadTrustedKeys(order.trustedKeysFolder),
    revoked: { digests: new Set(order.revokedDigests), keyIds: new Set(order.revokedKeyIds) },
    now: order.now,
  });
  const model = version.bytesOf(MODEL_FILE);
  const { session, createMs } = await timedSession(model, order.limits.inlineCreateMs);
  const tensors = { inputs: tensorsOf(session.inputMetadata), outputs: tensorsOf(session.outputMetadata) };
  checkTensors(tensors, version.tensors, sampleRow.length);
  return { model, session, createMs };
}

/**
 * The first session of a process also starts the runtime, for some 25 ms, and a busy machine may stall any: a time that
 * would decide about the placement is taken again, unless it is far off anyway.
 */
async function timedSession(
  model: Uint8Array,
  limitMs: number,
): Promise<{ session: InferenceSession; createMs: number }> {
  for (let attempt = 1; ; attempt += 1) {
    const started = performance.now();
    const session = await createSession(model);
    const createMs = performance.now() - started;
    if (createMs <= limitMs || createMs > 10 * limitMs || attempt === 3) return { session, createMs };
    await session.release();
  }
}

function refusal(error: unknown): LoadResult {
  if (error instanceof SlipwayError) {
    const cause = error.cause instanceof SlipwayError ? error.cause.internal : undefined;
    const { code, message } = error;
    return { kind: 'refused', code, message, internal: error.internal ?? cause };
  }
  const message = 'the model could not be loaded; the log of the gateway has the detail';
  return { kind: 'refused', code: 'MODEL_LOAD_FAILED', message, internal: String(error) };
}

function serve(port: NonNullable<typeof parentPort>, session: InferenceSession): void {
  let last = Promise.resolve();
  port.on('message', (order: ThreadOrder) => {
    last = last.then(async () => {
      if (order.kind === 'run') {
        const result = await run(session, order);
        const taken = result.kind === 'ran' ? [result.labels.buffer, result.scores.buffer] : [];
        return port.postMessage(result, taken as ArrayBuffer[]);
      }
      // The thread ends by itself: terminated from outside in the middle of native code, it takes the process along.
      await session.release();
      port.close();
    });
  });
}

async function run(session: InferenceSession, { id, features, rows }: RunOrder): Promise<RunResult> {
  try {
    return { kind: 'ran', id, ...(await runSession(session, features, rows)) };
  } catch (error) {
    const internal = error instanceof SlipwayError ? (error.internal ?? error.message) : String(error);
    return { kind: 'failed', id, internal };
  }
}

/** Bytes in a buffer of their own, which can be handed over without a copy. */
function transferable(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes;
  const whole = buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength;
  return whole ? new Uint8Array(buffer) : new Uint8Array(bytes);
}

async function main(port: NonNullable<typeof parentPort>, order: LoadOrder): Promise<void> {
  let result: LoadResult;
  try {
    const { model, session, createMs } = await loadVerified(order);
    const { sampleRow, sampleRows } = order;
    if (order.remote) {
      const golden = await goldenRows(session, sampleRow, sampleRows);
      await session.release();
      port.postMessage({ kind: 'golden', golden } satisfies LoadResult);
      return;
    }
    const cost: Cost = { createMs, ...(await proveModel(session, sampleRow, sampleRows)) };
    const { inlineCreateMs, inlineRunMs } = order.limits;
    if (order.isolate || cost.createMs > inlineCreateMs || cost.runMs > inlineRunMs) {
      result = { kind: 'loaded', cost, model: null };
      serve(port, session);
    } else {
      await session.release();
      const bytes = transferable(model);
      port.postMessage({ kind: 'loaded', cost, model: bytes } satisfies LoadResult, [bytes.buffer]);
      return;
    }
  } catch (error) {
    result = refusal(error);
  }
  port.postMessage(result);
}

if (parentPort === null) throw new SlipwayError('INTERNAL', 'this file runs in a thread of the gateway');
await main(parentPort, workerData as LoadOrder);

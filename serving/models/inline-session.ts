/** A session on the event loop: about a fifth of the cost of a thread's round trip, and each run stops the loop. */
import type { InferenceSession } from 'onnxruntime-node';
import type { ModelOutput, ModelSession } from './model-session.ts';
import { createSession, runSession } from './onnx.ts';

/** `model` are bytes that a loading thread has verified and tried. @throws SlipwayError `MODEL_LOAD_FAILED` */
export async function createInlineSession(model: Uint8Array, sampleRow: Float32Array): Promise<ModelSession> {
  const session = await createSession(model);
  // The first run allocates; no caller should pay for it.
  await runSession(session, sampleRow, 1);
  return new InlineSession(session);
}

class InlineSession implements ModelSession {
  readonly placement = 'inline';
  readonly #session: InferenceSession;
  #running = 0;
  #retired: Promise<void> | null = null;

  constructor(session: InferenceSession) {
    this.#session = session;
  }

  async run(features: Float32Array, rows: number): Promise<ModelOutput> {
    this.#running += 1;
    try {
      return await runSession(this.#session, features, rows);
    } finally {
      this.#running -= 1;
    }
  }

  retire(): Promise<void> {
    this.#retired ??= this.#releaseWhenIdle();
    return this.#retired;
  }

  async #releaseWhenIdle(): Promise<void> {
    // A run ends within one turn of the event loop, so this waits for a few turns at most.
    while (this.#running > 0) await new Promise((resolve) => setImmediate(resolve));
    await this.#session.release();
  }
}

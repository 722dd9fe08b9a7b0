/** A session on the event loop: about a fifth of the cost of a thread's round trip, and each run stops the loop. */
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import type { ModelSession, RunInput, RunOutput } from './model-session.ts';
import { createSession, inputTensor, readsFeedsLate, runSession, runSessionLate } from './onnx.ts';

/** `model` are bytes that a loading thread has verified and tried. @throws SlipwayError `MODEL_LOAD_FAILED` */
export async function createInlineSession(model: Uint8Array, sampleRow: Float32Array): Promise<ModelSession> {
  const session = await createSession(model);
  // The first run allocates; no caller should pay for it.
  await runSession(session, sampleRow, 1);
  return new InlineSession(session, inputTensor(sampleRow, 1), await readsFeedsLate(session, sampleRow));
}

class InlineSession implements ModelSession {
  readonly placement = 'inline';
  readonly concurrency = 1;
  readonly #session: InferenceSession;
  readonly #placeholder: Tensor;
  readonly #late: boolean;
  #running = 0;
  #retired: Promise<void> | null = null;

  constructor(session: InferenceSession, placeholder: Tensor, late: boolean) {
    this.#session = session;
    this.#placeholder = placeholder;
    this.#late = late;
  }

  async run(features: Float32Array, rows: number): Promise<RunOutput> {
    this.#running += 1;
    try {
      return await runSession(this.#session, features, rows);
    } finally {
      this.#running -= 1;
    }
  }

  async runLate(take: () => RunInput | null): Promise<RunOutput | null> {
    this.#running += 1;
    try {
      if (this.#late) return await runSessionLate(this.#session, this.#placeholder, take);
      await new Promise((resolve) => setImmediate(resolve));
      const taken = take();
      return taken === null ? null : await runSession(this.#session, taken.features, taken.rows);
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

/**
 * A session in another inference server, which was shown to answer what the signed model answers. It is asked the same
 * rows again every minute, and at once when its answers come from another version than before: when they differ from
 * the signed model's, somebody has changed what runs there, and the session is lost.
 */
import type { BackendSpec } from '../../domain/manifest/serving-spec.ts';
import type { GoldenRows } from './golden-rows.ts';
import type { ModelSession, RunOutput } from './model-session.ts';
import type { RemoteClient } from './remote-client.ts';
import { goldenProblem } from './remote-proof.ts';
import { decodeRun, encodeRun, maxAnswerBytes } from './remote-tensors.ts';
import type { RemoteAnswer } from './remote-tensors.ts';
import { executorFailed, inferenceFailed, remoteUnavailable } from './run-failure.ts';

export type RemoteBackend = Extract<BackendSpec, { kind: 'remote' }>;

/** Answers may come from changing versions for a while, as while the server changes over. */
const LEAST_RECHECK_MS = 1000;

export interface RemoteSessionOptions {
  readonly client: RemoteClient;
  /** Its name there. */
  readonly model: string;
  readonly binary: boolean;
  readonly runTimeoutMs: number;
  readonly concurrency: number;
  readonly recheckMs: number;
  /** Rows of one run at most. */
  readonly maxBatchRows: number;
  readonly golden: GoldenRows;
  /** It answers other than it should; no longer used from then on. */
  readonly onLost: (reason: string) => void;
}

export class RemoteSession implements ModelSession {
  readonly placement = 'remote';
  readonly #options: RemoteSessionOptions;
  /** The server's own name of the version that gave the answers that were compared last. */
  #provenVersion: string | null = null;
  #answeredBy: string | null = null;
  #timer: NodeJS.Timeout | null = null;
  #checking = false;
  #checkedMs = 0;
  #ended: string | null = null;

  constructor(options: RemoteSessionOptions) {
    this.#options = options;
  }

  get concurrency(): number {
    return this.#options.concurrency;
  }

  async run(features: Float32Array, rows: number, traceparent?: string): Promise<RunOutput> {
    const started = performance.now();
    const answer = await this.#ask(features, rows, traceparent);
    if (this.#timer !== null && answer.modelVersion !== this.#provenVersion) void this.#recheck();
    const { labels, scores } = answer;
    return { labels, scores, runMs: performance.now() - started };
  }

  /** The server's own name of the version that answered last; null when it gives none. */
  get answeredBy(): string | null {
    return this.#answeredBy;
  }

  /** From now on it looks after itself; it was proven with the answers of `provenVersion`. */
  watch(provenVersion: string | null): void {
    this.#provenVersion = provenVersion;
    this.#timer = setInterval(() => void this.#recheck(), this.#options.recheckMs).unref();
  }

  retire(): Promise<void> {
    this.#end('the session was retired');
    return Promise.resolve();
  }

  async #ask(features: Float32Array, rows: number, traceparent?: string): Promise<RemoteAnswer> {
    const { client, model, binary, runTimeoutMs } = this.#options;
    if (this.#ended !== null) throw remoteUnavailable(this.#ended);
    const { headers, body } = encodeRun(features, rows, binary);
    const { status, ...reply } = await client.call({
      method: 'POST',
      path: `/v2/models/${encodeURIComponent(model)}/infer`,
      headers: traceparent === undefined ? headers : { ...headers, traceparent },
      body,
      timeoutMs: runTimeoutMs,
      maxBytes: maxAnswerBytes(rows),
    });
    if (status === 200) {
      const answer = decodeRun(reply.headers, reply.body, rows);
      this.#answeredBy = answer.modelVersion;
      return answer;
    }
    throw failureOf(status, `${model} answered ${status}: ${reply.body.toString('utf8', 0, 300)}`);
  }

  async #recheck(): Promise<void> {
    const now = performance.now();
    if (this.#checking || now - this.#checkedMs < LEAST_RECHECK_MS) return;
    this.#checking = true;
    this.#checkedMs = now;
    const { golden, maxBatchRows } = this.#options;
    const rows = Math.min(golden.scores.length, maxBatchRows);
    const columns = golden.features.length / golden.scores.length;
    try {
      const answer = await this.#ask(golden.features.slice(0, rows * columns), rows);
      const problem = goldenProblem(answer, golden);
      if (problem !== null)
        this.#lose(`the remote model does not answer what was signed any more: ${problem}`);
      this.#provenVersion = answer.modelVersion;
    } catch {
      // Says nothing about what it would have answered; requests meet the same failure, and it is counted there.
    } finally {
      this.#checking = false;
    }
  }

  #lose(reason: string): void {
    if (this.#ended !== null) return;
    // Runs under way are given up as well: what they would bring is not from the signed model.
    this.#end(reason);
    this.#options.onLost(reason);
  }

  #end(reason: string): void {
    this.#ended ??= reason;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#options.client.close();
  }
}

/**
 * 400, 422 and 500: the server has looked at these rows; others may do better, so requests are tried one by one. 408,
 * 429 and the rest of 5xx: it is not able to answer now. Else it would answer no request of ours.
 */
function failureOf(status: number, internal: string): Error {
  if (status === 400 || status === 422 || status === 500) return inferenceFailed(internal);
  if (status === 408 || status === 429 || status > 500) return remoteUnavailable(internal);
  return executorFailed(internal);
}

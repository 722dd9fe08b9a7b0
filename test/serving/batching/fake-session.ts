/** A session whose runs the test ends by itself, or that ends them at once; the batcher under test is real. */
import type { Placement } from '../../../serving/metrics.ts';
import type { ModelSession, RunOutput } from '../../../serving/models/model-session.ts';
import { inferenceFailed } from '../../../serving/models/run-failure.ts';

export interface FakeRun {
  readonly features: Float32Array;
  readonly rows: number;
  end(runMs?: number): void;
  fail(error?: Error): void;
}

/** One feature: the score is a hundredth of it, the label is it; a feature of -1 fails its whole run. */
export class FakeSession implements ModelSession {
  readonly placement: Placement;
  readonly concurrency: number;
  readonly runs: FakeRun[] = [];
  readonly #auto: boolean;
  retired = 0;
  demands = 0;

  constructor({
    auto = false,
    concurrency = 1,
    placement = 'worker',
  }: { auto?: boolean; concurrency?: number; placement?: Placement } = {}) {
    this.#auto = auto;
    this.concurrency = concurrency;
    this.placement = placement;
  }

  run(features: Float32Array, rows: number): Promise<RunOutput> {
    return new Promise((resolve, reject) => {
      const end = (runMs = 0.1): void => {
        if (features.includes(-1)) return reject(inferenceFailed('poison'));
        resolve({
          labels: BigInt64Array.from(features, (x) => BigInt(Math.round(x))),
          scores: features.map((x) => x / 100),
          runMs,
        });
      };
      this.runs.push({ features, rows, end, fail: (error = inferenceFailed('told to')) => reject(error) });
      if (this.#auto) setImmediate(end);
    });
  }

  demand(): void {
    this.demands += 1;
  }

  retire(): Promise<void> {
    this.retired += 1;
    return Promise.resolve();
  }
}

export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A store in memory that can be slow, silent or gone, and remembers what it was asked. */
import { SlipwayError } from '../../../domain/errors.ts';
import type { OnlineRow } from '../../../domain/features/index.ts';
import type { KeyHeat, OnlineStore, ViewRead } from '../../../serving/features/index.ts';
import type { VirtualTime } from './virtual-time.ts';

export class MemoryStore implements OnlineStore {
  readonly rows = new Map<string, OnlineRow>();
  readonly reads: (readonly ViewRead[])[] = [];
  readonly heat = new Map<string, KeyHeat[]>();
  down = false;
  latencyMs = 1;
  readonly #time: VirtualTime;

  constructor(time: VirtualTime) {
    this.#time = time;
  }

  set(view: string, key: string, eventAtMs: number, values: OnlineRow['values']): void {
    this.rows.set(`${view}/${key}`, { eventAtMs, values });
  }

  async read(reads: readonly ViewRead[]): Promise<(OnlineRow | null)[][]> {
    this.reads.push(reads);
    const { down, latencyMs } = this;
    // As a database does: what is there when it looks, not when the answer arrives.
    const answer = reads.map(({ view, keys }) => keys.map((key) => this.rows.get(`${view}/${key}`) ?? null));
    await this.#time.sleep(latencyMs);
    if (down) throw new SlipwayError('UNAVAILABLE', 'the store is away');
    return answer;
  }

  hottest(view: string, limit: number): Promise<string[]> {
    if (this.down) return Promise.reject(new SlipwayError('UNAVAILABLE', 'the store is away'));
    return Promise.resolve((this.heat.get(view) ?? []).slice(0, limit).map(({ key }) => key));
  }

  noteHeat(view: string, heat: readonly KeyHeat[]): Promise<void> {
    if (this.down) return Promise.reject(new SlipwayError('UNAVAILABLE', 'the store is away'));
    this.heat.set(view, [...heat]);
    return Promise.resolve();
  }
}

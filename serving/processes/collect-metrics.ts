/** Asks every process for its metrics and answers with all of them, however slow one is. */
import type { FromMember } from './messages.ts';
import { mergeMetrics } from './merge-metrics.ts';
import type { Member } from './member.ts';

/** A process that is busy for longer shows as down in this scrape; scrapers wait ten seconds. */
const ANSWER_MS = 2000;

export class MetricsCollector {
  readonly #waiting = new Map<number, (text: string | null) => void>();
  #nextId = 1;

  heard(message: Extract<FromMember, { kind: 'metrics' }>): void {
    this.#waiting.get(message.id)?.(message.text);
  }

  async collect(members: readonly Member[]): Promise<string> {
    return mergeMetrics(
      await Promise.all(
        members.map(async (member) => ({ process: String(member.slot), text: await this.#ask(member) })),
      ),
    );
  }

  async #ask(member: Member): Promise<string | null> {
    const id = this.#nextId++;
    let timer: NodeJS.Timeout | undefined;
    const answer = new Promise<string | null>((resolve) => {
      this.#waiting.set(id, resolve);
      timer = setTimeout(resolve, ANSWER_MS, null);
      void member.ended.then(() => resolve(null));
      member.tell({ kind: 'collect', id });
    });
    const text = await answer;
    clearTimeout(timer);
    this.#waiting.delete(id);
    return text;
  }
}

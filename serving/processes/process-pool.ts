/**
 * The processes of one gateway: as many as are wanted, each in its slot. One that ends is started again, later each
 * time and for ever: a gateway that gave up would be worse than one that keeps trying. Only if the very first never
 * gets as far as to listen does the pool give up, for then the configuration is wrong and whoever started it must know.
 */
import type { GatewayLog } from '../log.ts';
import { Member } from './member.ts';
import type { FromMember, ListenWhen } from './messages.ts';
import type { Worker } from 'node:cluster';

export interface PoolOptions {
  readonly spawn: (slot: number, listen: ListenWhen) => Worker;
  readonly onMessage: (from: Member, message: FromMember) => void;
  /** Nothing ever worked; the reason. */
  readonly onHopeless: (reason: string) => void;
  readonly log: GatewayLog;
  /** How long a process may take to drain before it is ended. */
  readonly timeoutMsStop: number;
  /** How long a replacement may take to be ready before a rolling restart is given up. */
  readonly timeoutMsReady: number;
}

interface Waiting {
  readonly timer: NodeJS.Timeout;
}

const BACKOFF_FIRST_MS = 250;
const BACKOFF_LAST_MS = 10_000;
const LIVED_LONG_MS = 30_000;
/** From here on it is a crash loop, and said to be one. */
const CRASH_LOOP = 5;

export class ProcessPool {
  readonly #options: PoolOptions;
  readonly #members = new Map<number, Member>();
  readonly #waiting = new Map<number, Waiting>();
  readonly #crashesInARow = new Map<number, number>();
  readonly #restarts = new Map<number, number>();
  #wanted = 0;
  #everListened = false;
  #rolling: Promise<boolean> | null = null;
  #stopping: Promise<void> | null = null;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  get wanted(): number {
    return this.#wanted;
  }

  /** Those that live, the ones that drain among them. */
  get members(): readonly Member[] {
    return [...this.#members.values()];
  }

  get rolling(): boolean {
    return this.#rolling !== null;
  }

  /** Times that a process was started again after a crash, by slot. */
  get restarts(): ReadonlyMap<number, number> {
    return this.#restarts;
  }

  resize(wanted: number): void {
    this.#wanted = wanted;
    if (this.#rolling === null) this.#reconcile();
  }

  /**
   * Replaces every process by a new one, one after the other; the old one leaves when the new one is ready.
   * @returns false when a replacement did not get ready; what runs then stays.
   */
  roll(): Promise<boolean> {
    this.#rolling ??= this.#roll().finally(() => {
      this.#rolling = null;
      this.#reconcile();
    });
    return this.#rolling;
  }

  /** Drains all at once; resolves when none is left. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    for (const { timer } of this.#waiting.values()) clearTimeout(timer);
    this.#waiting.clear();
    await Promise.all(this.members.map((member) => this.#drain(member)));
  }

  #reconcile(): void {
    if (this.#stopping !== null) return;
    while (this.#active() < this.#wanted) this.#launch(this.#freeSlot());
    while (this.#active() > this.#wanted) this.#removeOne();
  }

  #active(): number {
    return this.#waiting.size + this.members.filter(({ draining }) => !draining).length;
  }

  /** One that does not serve anyway goes first, then the one in the highest slot. */
  #removeOne(): void {
    const waiting = [...this.#waiting].at(-1);
    if (waiting !== undefined) {
      clearTimeout(waiting[1].timer);
      this.#waiting.delete(waiting[0]);
      return;
    }
    const stays = (member: Member): number => (member.ready ? 1 : 0);
    const [last] = this.members
      .filter(({ draining }) => !draining)
      .sort((a, b) => stays(a) - stays(b) || b.slot - a.slot);
    if (last !== undefined) void this.#drain(last);
  }

  #freeSlot(): number {
    let slot = 0;
    while (this.#members.has(slot) || this.#waiting.has(slot)) slot += 1;
    return slot;
  }

  #launch(slot: number): Member {
    const { spawn, onMessage, log } = this.#options;
    // The first answers at once, if only that it is not ready; with one that serves, nobody should meet another that does not.
    const someoneListens = this.members.some(
      ({ draining, listening, listen }) => !draining && (listening || listen === 'now'),
    );
    const listen = someoneListens ? 'when-ready' : 'now';
    const member = new Member(slot, listen, spawn(slot, listen), (from, message) => {
      if (message.kind === 'listening') this.#everListened = true;
      if (message.kind === 'ready') log.info({ slot, processId: from.pid }, 'a gateway process is ready');
      onMessage(from, message);
    });
    this.#members.set(slot, member);
    void member.ended.then(({ how }) => this.#ended(member, how));
    return member;
  }

  #ended(member: Member, how: string): void {
    const { log, onHopeless } = this.#options;
    this.#members.delete(member.slot);
    if (member.draining || this.#stopping !== null) {
      log.info({ slot: member.slot, how }, 'a gateway process has left');
      return;
    }
    if (member.onTrial) return;
    if (!this.#everListened) {
      onHopeless(`the gateway process ${how} before it could listen; its log says why`);
      return;
    }
    if (this.#active() < this.#wanted) this.#restartLater(member, how);
  }

  #restartLater({ slot, startedMs }: Member, how: string): void {
    const { log } = this.#options;
    const before = performance.now() - startedMs > LIVED_LONG_MS ? 0 : (this.#crashesInARow.get(slot) ?? 0);
    const crashes = before + 1;
    this.#crashesInARow.set(slot, crashes);
    this.#restarts.set(slot, (this.#restarts.get(slot) ?? 0) + 1);
    const waitMs = Math.min(BACKOFF_LAST_MS, BACKOFF_FIRST_MS * 2 ** (crashes - 1));
    const fields = { slot, how, crashes, waitMs };
    if (crashes >= CRASH_LOOP) log.error(fields, 'a gateway process crashes again and again');
    else log.warn(fields, 'a gateway process crashed and is started again');
    const timer = setTimeout(() => {
      this.#waiting.delete(slot);
      this.#launch(slot);
    }, waitMs);
    this.#waiting.set(slot, { timer });
  }

  async #drain(member: Member): Promise<void> {
    const { timeoutMsStop, log } = this.#options;
    member.draining = true;
    member.kill('SIGTERM');
    const timer = setTimeout(() => {
      log.error({ slot: member.slot, timeoutMsStop }, 'a gateway process did not drain in time and is ended');
      member.kill('SIGKILL');
    }, timeoutMsStop);
    await member.ended;
    clearTimeout(timer);
  }

  async #roll(): Promise<boolean> {
    for (const old of this.members.filter(({ draining }) => !draining)) {
      if (this.#stopping !== null) return false;
      // It crashed meanwhile, and what came in its place is new already.
      if (this.#members.get(old.slot) !== old) continue;
      if (!(await this.#replace(old))) return false;
    }
    return true;
  }

  async #replace(old: Member): Promise<boolean> {
    const { log, timeoutMsReady } = this.#options;
    const fresh = this.#launch(this.#freeSlot());
    fresh.onTrial = true;
    let timer: NodeJS.Timeout | undefined;
    const failure = await Promise.race([
      fresh.whenReady().then(() => null),
      fresh.ended.then(({ how }) => how),
      new Promise<string>((resolve) => {
        timer = setTimeout(resolve, timeoutMsReady, `was not ready within ${timeoutMsReady} ms`);
      }),
    ]);
    clearTimeout(timer);
    if (failure !== null) {
      log.error({ slot: fresh.slot, how: failure }, 'the rolling restart stops: a new process does not work');
      await this.#drain(fresh);
      return false;
    }
    fresh.onTrial = false;
    if (this.#members.get(old.slot) === old) await this.#drain(old);
    return true;
  }
}

/**
 * Real rows as live traffic: each row becomes one request to the gateway, at a steady rate, and its label arrives later
 * by prediction id, as it would in production. Also the witness: what callers got is counted here, not taken from
 * the system under test.
 */
import { Agent, request } from 'node:http';
import type { LabelInput } from '../../api/client.ts';
import type { ReplayRows } from './rows.ts';

export interface ReplayOptions {
  /** Base URLs. As a load balancer would, a request whose connection fails, or that is answered 503, goes to the next one. */
  readonly gateways: readonly string[];
  readonly endpoint: string;
  readonly rows: ReplayRows;
  readonly requestsPerSecond: number;
  /** Real time between an answer and its label. */
  readonly labelDelayMs: number;
  readonly sendLabels: (labels: readonly LabelInput[]) => Promise<unknown>;
}

export interface Witness {
  readonly sent: number;
  readonly answered: number;
  /** Answers that a caller could not use: any status other than 200. */
  readonly bad: number;
  readonly firstBadMs: number | null;
  readonly lastBadMs: number | null;
  /** Status and body of the last one. */
  readonly lastBad: string | null;
  /** Requests that a second gateway had to answer. */
  readonly retried: number;
  /** Share of answers that equal their label. */
  readonly right: number;
  readonly labelsSent: number;
  readonly perVersion: Readonly<Record<string, number>>;
}

interface Answer {
  readonly predictionId: string;
  readonly label: 0 | 1;
  readonly dueMs: number;
}

/** Requests are sent in small bursts: timers of a busy process are not precise enough for one by one. */
const TICK_MS = 10;

export class Replay {
  private readonly options: ReplayOptions;
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 32 });
  private readonly targets: readonly URL[];
  private position: number;
  private readonly rate: number;
  private timer: NodeJS.Timeout | undefined;
  private labels: Answer[] = [];
  private sending: Promise<void> = Promise.resolve();
  private failure: Error | undefined;
  private counts = { sent: 0, answered: 0, bad: 0, right: 0, labelsSent: 0, retried: 0 };
  private badAt: { first: number; last: number; answer: string } | null = null;
  private perVersion: Record<string, number> = {};
  private inFlight = 0;

  constructor(options: ReplayOptions) {
    this.options = options;
    this.targets = options.gateways.map(
      (gateway) => new URL(`/v2/models/${options.endpoint}/infer`, gateway),
    );
    this.position = 0;
    this.rate = options.requestsPerSecond;
  }

  /** Event time of the next row: "now" in the replayed world. */
  get nowIso(): string {
    return new Date(this.options.rows.eventTimesMs[this.position]!).toISOString();
  }

  get requestsPerSecond(): number {
    return this.rate;
  }

  get remaining(): number {
    return this.options.rows.count - this.position;
  }

  /** Goes on at the first row of that time (ISO 8601). */
  skipTo(instant: string): void {
    const at = Date.parse(instant);
    this.position = this.options.rows.eventTimesMs.findIndex((time) => time >= at);
  }

  start(): void {
    let last = performance.now();
    let owed = 0;
    this.timer = setInterval(() => {
      const now = performance.now();
      // At most half a second is caught up with, so that a stall does not end in a flood.
      owed = Math.min(owed + ((now - last) * this.rate) / 1000, this.rate / 2);
      last = now;
      for (; owed >= 1 && this.remaining > 0; owed--) this.send();
      this.sendDueLabels();
    }, TICK_MS);
  }

  /** Counts since the last call. @throws what went wrong in the background */
  takeWitness(): Witness {
    if (this.failure !== undefined) throw this.failure;
    const { counts, badAt, perVersion } = this;
    this.counts = { sent: 0, answered: 0, bad: 0, right: 0, labelsSent: 0, retried: 0 };
    this.badAt = null;
    this.perVersion = {};
    return {
      ...counts,
      firstBadMs: badAt?.first ?? null,
      lastBadMs: badAt?.last ?? null,
      lastBad: badAt?.answer ?? null,
      right: counts.answered === 0 ? 0 : counts.right / counts.answered,
      perVersion,
    };
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    while (this.inFlight > 0) await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    await this.sending;
    this.agent.destroy();
  }

  private send(): void {
    const { rows } = this.options;
    const index = this.position++;
    const width = rows.features.length;
    const data = Array.from(rows.values.subarray(index * width, (index + 1) * width));
    const body = JSON.stringify({
      inputs: [{ name: 'features', datatype: 'FP32', shape: [1, width], data }],
      // Half-hours have no users; a made-up household per row stands for them.
      parameters: { unit: `household-${index}` },
    });
    this.counts.sent++;
    this.inFlight++;
    this.ask(body, rows.labels[index] === 1 ? 1 : 0, index, this.targets.length);
  }

  private ask(body: string, label: 0 | 1, target: number, attempts: number): void {
    const url = this.targets[target % this.targets.length]!;
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    let settled = false;
    const failed = (error: Error): void => {
      if (settled) return;
      settled = true;
      if (attempts > 1) {
        this.counts.retried++;
        this.ask(body, label, target + 1, attempts - 1);
        return;
      }
      this.inFlight--;
      this.answered(0, String(error), label);
    };
    const call = request(url, { method: 'POST', agent: this.agent, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', failed);
      response.on('end', () => {
        // Starting or stopping: the one answer that promises that another gateway may do better.
        if (response.statusCode === 503 && attempts > 1) {
          failed(new Error('503'));
          return;
        }
        settled = true;
        this.inFlight--;
        this.answered(response.statusCode ?? 0, Buffer.concat(chunks).toString(), label);
      });
    });
    call.on('error', failed);
    call.end(body);
  }

  private answered(status: number, text: string, label: 0 | 1): void {
    this.counts.answered++;
    if (status !== 200) {
      this.counts.bad++;
      const now = Date.now();
      this.badAt = { first: this.badAt?.first ?? now, last: now, answer: `${status}: ${text}` };
      return;
    }
    const answer = JSON.parse(text) as {
      model_version: string;
      parameters: { prediction_id: string };
      outputs: readonly { name: string; data: readonly number[] }[];
    };
    this.perVersion[answer.model_version] = (this.perVersion[answer.model_version] ?? 0) + 1;
    if (answer.outputs.find(({ name }) => name === 'label')?.data[0] === label) this.counts.right++;
    this.labels.push({
      predictionId: answer.parameters.prediction_id,
      label,
      dueMs: performance.now() + this.options.labelDelayMs,
    });
  }

  private sendDueLabels(): void {
    const now = performance.now();
    // One request for a few hundred labels: a call per label would measure the API, not the release.
    const due = this.labels.findIndex(({ dueMs }) => dueMs > now);
    const count = due === -1 ? this.labels.length : due;
    if (count < this.rate / 2) return;
    const observedAt = new Date().toISOString();
    const batch = this.labels
      .splice(0, count)
      .map(({ predictionId, label }) => ({ predictionId, label, observedAt }));
    this.sending = this.sending
      .then(() => this.options.sendLabels(batch))
      .then(
        () => void (this.counts.labelsSent += batch.length),
        (error: unknown) => void (this.failure ??= error instanceof Error ? error : new Error(String(error))),
      );
  }
}

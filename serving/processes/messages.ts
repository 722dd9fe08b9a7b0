/** What the primary and its processes tell each other. Both come from the same build: shapes are not checked again. */
import type { LoadSample } from './load-sample.ts';

export type FromMember =
  /** It accepts connections. */
  | { readonly kind: 'listening' }
  /** It has a champion for each endpoint. */
  | { readonly kind: 'ready' }
  | {
      readonly kind: 'load';
      readonly load: LoadSample;
      readonly seconds: number;
      readonly connections: number;
    }
  /** Somebody asked it for metrics: it wants those of all. */
  | { readonly kind: 'scrape'; readonly id: number }
  | { readonly kind: 'metrics'; readonly id: number; readonly text: string | null };

export type ToMember =
  /** Give its own metrics. */
  | { readonly kind: 'collect'; readonly id: number }
  /** The metrics of all. */
  | { readonly kind: 'scraped'; readonly id: number; readonly text: string }
  /** Ask this many callers to connect again. */
  | { readonly kind: 'shed'; readonly connections: number };

/** When a process begins to accept connections: at once if nobody else does, else when it can answer. */
export type ListenWhen = 'now' | 'when-ready';

const SLOT = '--process=';
const LISTEN = '--listen=';

export function memberArguments(slot: number, listen: ListenWhen): string[] {
  return [`${SLOT}${slot}`, `${LISTEN}${listen}`];
}

export function readMemberArguments(args: readonly string[]): { slot: number; listen: ListenWhen } {
  const value = (prefix: string): string | undefined =>
    args.find((argument) => argument.startsWith(prefix))?.slice(prefix.length);
  return { slot: Number(value(SLOT) ?? 0), listen: value(LISTEN) === 'when-ready' ? 'when-ready' : 'now' };
}

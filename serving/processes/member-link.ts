/** The side of a gateway process that belongs to a primary. */
import cluster from 'node:cluster';
import type { Server } from 'node:http';
import type { Lifecycle } from '../../platform/lifecycle.ts';
import { readMemberArguments } from './messages.ts';
import type { FromMember, ListenWhen, ToMember } from './messages.ts';
import { serverLoad } from './server-load.ts';
import type { LoadSource } from './load-sample.ts';

export interface MemberLink {
  readonly slot: number;
  readonly listen: ListenWhen;
  /** When the primary is gone, nobody restarts, scales or scrapes this process: it drains and leaves. */
  followPrimary(lifecycle: Lifecycle): void;
  /** Reports load and readiness from now on; `ownMetrics` is what this process alone would answer. */
  begin(parts: MemberParts): void;
  /** The metrics of all processes; of this one when the primary does not answer. */
  allMetrics(own: () => Promise<string>): Promise<string>;
}

export interface MemberParts {
  readonly server: Server;
  readonly isReady: () => boolean;
  readonly ownMetrics: () => Promise<string>;
  /** Where the load is counted; watched from outside by default. */
  readonly load?: LoadSource;
}

const REPORT_MS = 1000;
const READY_POLL_MS = 20;
/** More than the primary waits for the slowest process. */
const SCRAPE_MS = 3000;

/** Null in a process that runs by itself. */
export function joinPrimary(): MemberLink | null {
  const { worker } = cluster;
  if (worker === undefined || process.send === undefined) return null;
  // Else the cluster module ends this process on the spot when the primary is gone, with requests under way.
  worker.exitedAfterDisconnect = true;
  const waiting = new Map<number, (text: string | null) => void>();
  let nextId = 1;
  return {
    ...readMemberArguments(process.argv),
    followPrimary: (lifecycle) => {
      process.once('disconnect', () => void lifecycle.shutdown('the primary process ended'));
    },
    begin: (parts) => begin(parts, waiting),
    async allMetrics(own) {
      const id = nextId++;
      const answer = new Promise<string | null>((resolve) => {
        waiting.set(id, resolve);
        setTimeout(resolve, SCRAPE_MS, null).unref();
        tell({ kind: 'scrape', id });
      });
      const text = await answer;
      waiting.delete(id);
      return text ?? (await own());
    },
  };
}

function tell(message: FromMember): void {
  // A primary that is gone is noticed by its disconnect; what could not be told it does not matter any more.
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
}

function begin(
  { server, isReady, ownMetrics, load = serverLoad(server) }: MemberParts,
  waiting: ReadonlyMap<number, (text: string | null) => void>,
): void {
  const callers = countCallers(server);
  process.on('message', (message: ToMember) => {
    if (message.kind === 'shed') callers.shed(message.connections);
    else if (message.kind === 'scraped') waiting.get(message.id)?.(message.text);
    else void answerCollect(message.id, ownMetrics);
  });
  if (server.listening) tell({ kind: 'listening' });
  else server.once('listening', () => tell({ kind: 'listening' }));

  let reportedAt = performance.now();
  const report = setInterval(() => {
    const now = performance.now();
    callers.shed(0);
    const seconds = (now - reportedAt) / 1000;
    tell({ kind: 'load', load: load.sample(), seconds, connections: callers.connections });
    reportedAt = now;
  }, REPORT_MS);
  report.unref();
  const poll = setInterval(() => {
    if (!server.listening || !isReady()) return;
    clearInterval(poll);
    tell({ kind: 'ready' });
  }, READY_POLL_MS);
  poll.unref();
}

async function answerCollect(id: number, ownMetrics: () => Promise<string>): Promise<void> {
  let text: string | null = null;
  try {
    text = await ownMetrics();
  } finally {
    tell({ kind: 'metrics', id, text });
  }
}

/** How many connections there are, and a way to have fewer: the next answers ask their callers to connect again. */
function countCallers(server: Server): { readonly connections: number; shed(connections: number): void } {
  let connections = 0;
  let toShed = 0;
  const closed = (): void => void (connections -= 1);
  server.on('connection', (socket) => {
    connections += 1;
    socket.once('close', closed);
  });
  server.prependListener('request', (_request, response) => {
    if (toShed === 0) return;
    toShed -= 1;
    // A caller that is told so sends nothing more here; to close an idle connection could meet its next request.
    response.setHeader('connection', 'close');
  });
  return {
    get connections() {
      return connections;
    },
    shed: (count) => void (toShed = count),
  };
}

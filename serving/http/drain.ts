/** How a server stops without failing a request. */
import type { Server } from 'node:http';
import { Server as NetServer } from 'node:net';

export interface DrainOptions {
  /**
   * How long connections that seem idle stay open: the next request of a caller may be on its way, and meets an answer
   * that sends him elsewhere instead of a closed connection. Zero where nobody takes over anyway.
   */
  readonly quietMs: number;
  /** After it, what is still under way is cut off. */
  readonly timeoutMs: number;
}

const SWEEP_MS = 20;

/** Takes no new connection from the moment of the call; resolves when the last one is closed. */
export async function drain(server: Server, { quietMs, timeoutMs }: DrainOptions): Promise<void> {
  if (!server.listening) return;
  const closed = new Promise<void>((resolve) => {
    // Not the HTTP server's own close, which closes idle connections at once.
    NetServer.prototype.close.call(server, () => resolve());
  });
  const deadline = setTimeout(() => server.closeAllConnections(), timeoutMs);
  const startedMs = performance.now();
  // Again and again: a connection whose last answer was under way becomes idle later.
  const sweep = setInterval(() => {
    if (performance.now() - startedMs >= quietMs) server.closeIdleConnections();
  }, SWEEP_MS);
  if (quietMs === 0) server.closeIdleConnections();
  await closed;
  clearInterval(sweep);
  clearTimeout(deadline);
  // Ends the timer that the HTTP server checks its connections with.
  server.close();
}

import { connect, createServer } from 'node:net';

import { SlipwayError } from '../../domain/errors.ts';
import { isErrno } from './atomic-file.ts';

export const LOOPBACK = '127.0.0.1';

/** What each part listens on when nobody else does. */
export const PREFERRED_PORTS = {
  api: 8300,
  gateway: 8301,
  temporal: 7233,
  temporalUi: 8233,
  postgres: 5433,
  workerMetrics: 8310,
} as const;

function tryListen(port: number): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error) => {
      if (isErrno(error, 'EADDRINUSE') || isErrno(error, 'EACCES')) resolve(undefined);
      else reject(error);
    });
    server.listen({ port, host: LOOPBACK, exclusive: true }, () => {
      const address = server.address();
      const taken = typeof address === 'object' && address !== null ? address.port : undefined;
      server.close(() => resolve(taken));
    });
  });
}

/** Whether somebody listens there. */
export function accepts(host: string, port: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: timeoutMs });
    const answer = (is: boolean): void => {
      socket.destroy();
      resolve(is);
    };
    socket.once('connect', () => answer(true));
    socket.once('timeout', () => answer(false));
    socket.once('error', () => answer(false));
  });
}

export interface PortBook {
  /** The preferred port, or a free one when there is none or it is taken; never one that this book gave out before. */
  reserve(preferred?: number): Promise<number>;
}

/**
 * A port is only looked at, not held: who gets it must bind it soon, and whoever starts a server tries again with
 * another port when somebody was faster.
 */
export function createPortBook(): PortBook {
  const given = new Set<number>();
  return {
    async reserve(preferred) {
      if (preferred !== undefined && !given.has(preferred)) {
        given.add(preferred);
        if ((await tryListen(preferred)) !== undefined) return preferred;
      }
      for (let attempt = 0; attempt < 20; attempt += 1) {
        const port = await tryListen(0);
        if (port === undefined || given.has(port)) continue;
        given.add(port);
        return port;
      }
      throw new SlipwayError(
        'UNAVAILABLE',
        'No free TCP port was found on 127.0.0.1; close some programs and try again.',
      );
    },
  };
}

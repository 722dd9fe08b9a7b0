/** Takes a request out of the queue when nobody waits for its answer any more. */
import type { ServerResponse } from 'node:http';
import type { RunTicket } from '../batching/index.ts';

/** `close` comes after every answer too, and to cancel what is answered does nothing. */
export function watchCaller(response: ServerResponse, ticket: RunTicket): void {
  response.on('close', () => {
    if (!response.writableFinished) ticket.cancel();
  });
}

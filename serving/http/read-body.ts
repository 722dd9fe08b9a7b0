/** Reads a request's body up to a limit, which holds for what a compressed body unpacks to as well. */
import type { IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { gunzip, inflate } from 'node:zlib';
import { SlipwayError } from '../../domain/errors.ts';
import type { ContentEncoding } from './media-type.ts';

/** The caller went away before its body was complete: there is nobody to answer. */
export class CallerGone extends Error {}

/**
 * A body that is too large is read to its end and thrown away, up to this many times the limit: to answer while the
 * caller still sends makes many clients report a reset connection in place of the answer.
 */
const DISCARD = 8;

const unpack = { gzip: promisify(gunzip), deflate: promisify(inflate) };

/** @throws SlipwayError `BODY_TOO_LARGE` or, for one that does not unpack, `INVALID_REQUEST`; CallerGone */
export function readBody(
  request: IncomingMessage,
  maxBytes: number,
  encoding: ContentEncoding | null,
): Promise<Buffer> {
  const body = readBytes(request, maxBytes);
  return encoding === null ? body : body.then((bytes) => decompress(bytes, encoding, maxBytes));
}

/** Off the event loop; stops at the limit, however far the rest would unpack. */
async function decompress(bytes: Buffer, encoding: ContentEncoding, maxBytes: number): Promise<Buffer> {
  try {
    return await unpack[encoding](bytes, { maxOutputLength: maxBytes });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(maxBytes);
    throw new SlipwayError('INVALID_REQUEST', `the body is not ${encoding}, as content-encoding says`, {
      cause,
    });
  }
}

function readBytes(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > maxBytes * DISCARD) return Promise.reject(tooLarge(maxBytes));
  return new Promise((resolve, reject) => {
    let chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= maxBytes) chunks.push(chunk);
      else if (size > maxBytes * DISCARD) reject(tooLarge(maxBytes));
      else chunks = [];
    });
    request.on('end', () => {
      if (size > maxBytes) reject(tooLarge(maxBytes));
      // Most bodies are one chunk; concatenating would copy it.
      else resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks));
    });
    request.on('error', () => reject(new CallerGone()));
    // Comes after every body; an error that nobody needs would be the dearest part of reading one.
    request.on('close', () => {
      if (!request.complete) reject(new CallerGone());
    });
  });
}

function tooLarge(maxBytes: number): SlipwayError {
  return new SlipwayError(
    'BODY_TOO_LARGE',
    `the body may have at most ${maxBytes} bytes; send fewer rows at once`,
  );
}

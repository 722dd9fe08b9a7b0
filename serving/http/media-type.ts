/** Which bodies this gateway can read, by their headers. */
import type { IncomingHttpHeaders } from 'node:http';
import { SlipwayError } from '../../domain/errors.ts';

export type ContentEncoding = 'gzip' | 'deflate';

export const BINARY_TYPE = 'application/octet-stream';
export const HEADER_LENGTH = 'inference-header-content-length';

/**
 * A body without a content type is taken for what it should be. Whether a body has binary tensors is said by
 * `Inference-Header-Content-Length` alone: clients send either type with either body.
 * @throws SlipwayError `UNSUPPORTED_MEDIA_TYPE`
 */
export function checkMediaType(headers: IncomingHttpHeaders): void {
  const type = headers['content-type'];
  if (type === undefined || type === 'application/json' || isAccepted(type)) return;
  throw unsupported(`the content type must be application/json or ${BINARY_TYPE}`);
}

/** Null for a body as it is. @throws SlipwayError `UNSUPPORTED_MEDIA_TYPE` */
export function contentEncoding(headers: IncomingHttpHeaders): ContentEncoding | null {
  const encoding = headers['content-encoding']?.trim().toLowerCase();
  if (encoding === undefined || encoding === 'identity' || encoding === '') return null;
  if (encoding === 'gzip' || encoding === 'deflate') return encoding;
  throw unsupported('the content encoding must be gzip, deflate or identity');
}

/** Bytes of JSON before the binary tensors, 0 when there are only tensors; null for JSON alone. */
export function headerLength(headers: IncomingHttpHeaders): number | null {
  const text = headers[HEADER_LENGTH] as string | undefined;
  if (text === undefined) return null;
  const length = /^\d+$/.test(text) ? Number(text) : NaN;
  if (Number.isSafeInteger(length)) return length;
  throw new SlipwayError(
    'INVALID_REQUEST',
    'Inference-Header-Content-Length must be a whole number of bytes',
  );
}

function isAccepted(type: string): boolean {
  const [essence = '', ...parameters] = type.toLowerCase().split(';');
  if (essence.trim() === BINARY_TYPE) return true;
  if (essence.trim() !== 'application/json') return false;
  return parameters.every((parameter) => {
    const [name = '', value = ''] = parameter.split('=');
    return name.trim() !== 'charset' || ['utf-8', '"utf-8"', 'utf8'].includes(value.trim());
  });
}

function unsupported(message: string): SlipwayError {
  return new SlipwayError('UNSUPPORTED_MEDIA_TYPE', message);
}

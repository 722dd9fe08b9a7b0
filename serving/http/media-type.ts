/** Which bodies this gateway can read. The binary tensor extension, when it comes, is decided here. */
import type { IncomingHttpHeaders } from 'node:http';
import { SlipwayError } from '../../domain/errors.ts';

/** @throws SlipwayError `UNSUPPORTED_MEDIA_TYPE`. A body without a content type is taken for JSON. */
export function checkMediaType(headers: IncomingHttpHeaders): void {
  const type = headers['content-type'];
  if (type !== undefined && type !== 'application/json' && !isJson(type)) {
    throw unsupported('the content type must be application/json');
  }
  if (headers['inference-header-content-length'] !== undefined) {
    throw unsupported('binary tensors are not supported; send the data in JSON (binary_data=False)');
  }
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    throw unsupported('compressed bodies are not supported; send it without a content encoding');
  }
}

function isJson(type: string): boolean {
  const [essence = '', ...parameters] = type.toLowerCase().split(';');
  if (essence.trim() !== 'application/json') return false;
  return parameters.every((parameter) => {
    const [name = '', value = ''] = parameter.split('=');
    return name.trim() !== 'charset' || ['utf-8', '"utf-8"', 'utf8'].includes(value.trim());
  });
}

function unsupported(message: string): SlipwayError {
  return new SlipwayError('UNSUPPORTED_MEDIA_TYPE', message);
}

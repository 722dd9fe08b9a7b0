/** Bearer tokens of a local stack: a file that only its user can read, one token per person. */
import { readFile } from 'node:fs/promises';
import { SlipwayError } from '../domain/errors.ts';

/** @throws SlipwayError NOT_FOUND for the file; the returned function throws it for an actor that has no token. */
export async function readTokens(file: string): Promise<(actor: string) => string> {
  let tokens: Record<string, string>;
  try {
    tokens = JSON.parse(await readFile(file, 'utf8')) as Record<string, string>;
  } catch (error) {
    throw new SlipwayError(
      'NOT_FOUND',
      `the token file ${file} cannot be read; is it yours, and has the stack been started?`,
      { cause: error },
    );
  }
  return (actor) => {
    const token = tokens[actor];
    if (token !== undefined) return token;
    throw new SlipwayError(
      'NOT_FOUND',
      `${file} has no token for ${actor}; it has ${Object.keys(tokens).join(', ')}`,
    );
  };
}

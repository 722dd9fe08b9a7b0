/**
 * The tokens of a stack's own people, made on its first start: plain in a file that only this user can read, hashed in
 * the database. The file is the truth: whoever starts with another database gives it the tokens that the file has.
 */
import { randomBytes } from 'node:crypto';
import { chmod, readFile, stat } from 'node:fs/promises';

import { SlipwayError } from '../domain/errors.ts';
import { createFileExclusively, writeFileAtomically } from '../platform/atomic-file.ts';
import type { Role, TokenStore } from './ports.ts';

/** Names of the people that a local stack has, with their roles. Two approvers: high risk needs two. */
export const LOCAL_ACTORS = {
  engineer: 'engineer',
  approver: 'approver',
  'second-approver': 'approver',
  operator: 'operator',
} as const satisfies Record<string, Role>;

export type TokenFile = Readonly<Record<string, string>>;

const TOKEN = /^slw_[A-Za-z0-9_-]{43}$/;
const OWNER_ONLY = 0o600;

/**
 * Makes what is missing and stores the hashes.
 * @throws SlipwayError CONFIG_INVALID when the file is not a token file: overwriting it would lock people out.
 */
export async function ensureTokens(path: string, store: TokenStore): Promise<TokenFile> {
  const present = await readTokenFile(path);
  const tokens = { ...present };
  for (const actor of Object.keys(LOCAL_ACTORS)) tokens[actor] ??= newToken();
  const written = await keep(path, present, tokens);
  for (const [actor, role] of Object.entries(LOCAL_ACTORS)) {
    const token = written[actor];
    if (token !== undefined) await store.add(token, { actor, role });
  }
  return written;
}

/** Undefined when there is none. @throws SlipwayError CONFIG_INVALID */
export async function readTokenFile(path: string): Promise<TokenFile | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const tokens = parse(text);
  if (tokens === undefined) {
    throw new SlipwayError(
      'CONFIG_INVALID',
      `${path} is not a token file; move it away and start again to have new tokens made`,
    );
  }
  // A copy or a backup may have widened it; the tokens are as good as passwords.
  if (((await stat(path)).mode & 0o077) !== 0) await chmod(path, OWNER_ONLY);
  return tokens;
}

async function keep(path: string, present: TokenFile | undefined, tokens: TokenFile): Promise<TokenFile> {
  const text = `${JSON.stringify(tokens, null, 2)}\n`;
  if (present === undefined) {
    // Of two processes that start at once, the first one's tokens stand.
    if (await createFileExclusively(path, text, OWNER_ONLY)) return tokens;
    return (await readTokenFile(path)) ?? tokens;
  }
  const complete = Object.keys(tokens).every((actor) => present[actor] === tokens[actor]);
  if (!complete) await writeFileAtomically(path, text, OWNER_ONLY);
  return tokens;
}

function parse(text: string): TokenFile | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const entries: [string, unknown][] = Object.entries(value);
  const good = entries.every(([, token]) => typeof token === 'string' && TOKEN.test(token));
  return good ? (Object.fromEntries(entries) as TokenFile) : undefined;
}

function newToken(): string {
  return `slw_${randomBytes(32).toString('base64url')}`;
}
